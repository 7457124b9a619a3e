"""hashprobe: how far an adversary can move the results of retrieval on binary codes.

    import hashprobe as hp

    victim = hp.Victim(net, bits=48, size=224, mean=MEAN, std=STD)
    database = victim.encode(database_images, labels=database_labels)
    goal = hp.targets(database, avoid=query_labels, n_t=9)
    attacked = hp.attack(victim, query_images, goal, eps=8 / 255)
    print(hp.evaluate(attacked, database))

Packages, in the order in which they know each other: `data`, `codes`, `victims`, `training`,
`optim`, `attacks`, `defenses`, `crafting`, `evaluation`, `report`, `workflow`, `paper`, `cli`. Each
is loaded when it is first used.
"""

import lazy_loader


_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    # The version is read from the installed package, which takes longer than this import.
    if name == "__version__":
        from importlib.metadata import version

        return version("hashprobe")
    return _load(name)
