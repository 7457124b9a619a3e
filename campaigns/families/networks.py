"""Foreign networks and arrays of any kind through the door of the library."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from cases import Case, Wanted
from stage import Stage
from torch import Tensor, nn


class Net(nn.Module):
    """A linear network whose outputs pass through a function."""

    def __init__(self, change: Callable[[Tensor, Tensor], Any], bits: int = 12) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Linear(192, bits)
        self.change = change

    def forward(self, images: Tensor) -> Any:
        """Logits, changed."""
        return self.change(self.layer(images.flatten(1)), images)


class Failing(nn.Module):
    """A network that raises."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, images: Tensor) -> Tensor:
        """Raises."""
        raise self.error


def noisy(logits: Tensor, _: Tensor) -> Tensor:
    """Dropout that is never switched off."""
    return nn.functional.dropout(logits, 0.5, training=True)


def in_place(logits: Tensor, images: Tensor) -> Tensor:
    """Changes its input."""
    images.mul_(0.5)
    return logits


def together(logits: Tensor, _: Tensor) -> Tensor:
    """Mixes the queries of a batch."""
    return logits - logits.mean(0, keepdim=True)


def switched() -> nn.Module:
    """Dropout and batch normalisation, left in training mode."""
    layers = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 24), nn.BatchNorm1d(24), nn.Dropout(0.5), nn.Linear(24, 12)
    )
    return layers.train()


NETWORKS: tuple[tuple[str, Callable[[], Any], Wanted], ...] = (
    ("good", lambda: Net(lambda z, x: z), "ok"),
    ("in training mode, with dropout", switched, "either"),
    ("sign outputs", lambda: Net(lambda z, x: z.sign()), "either"),
    ("rounded outputs", lambda: Net(lambda z, x: z.round()), "either"),
    ("detached outputs", lambda: Net(lambda z, x: z.detach()), "refused"),
    ("outputs without the pixels", lambda: Net(lambda z, x: torch.ones_like(z)), "either"),
    ("saturated outputs", lambda: Net(lambda z, x: torch.tanh(1e4 * z)), "either"),
    ("dropout that stays on", lambda: Net(noisy), "either"),
    ("a batch that is mixed", lambda: Net(together), "either"),
    ("in-place change of the input", lambda: Net(in_place), "either"),
    ("NaN", lambda: Net(lambda z, x: z * float("nan")), "refused"),
    ("NaN in one bit", lambda: Net(lambda z, x: torch.cat([z[:, :1] * float("nan"), z[:, 1:]], 1)), "refused"),
    ("infinite outputs", lambda: Net(lambda z, x: z * float("inf")), "refused"),
    ("a tuple", lambda: Net(lambda z, x: (z, z)), "refused"),
    ("a dict", lambda: Net(lambda z, x: {"logits": z}), "refused"),
    ("a list", lambda: Net(lambda z, x: [z]), "refused"),
    ("None", lambda: Net(lambda z, x: None), "refused"),
    ("an array", lambda: Net(lambda z, x: z.detach().numpy()), "refused"),
    ("K - 1 bits", lambda: Net(lambda z, x: z[:, :-1]), "refused"),
    ("no bits", lambda: Net(lambda z, x: z[:, :0]), "refused"),
    ("one row fewer", lambda: Net(lambda z, x: z[:-1]), "refused"),
    ("three axes", lambda: Net(lambda z, x: z[:, :, None]), "refused"),
    ("one axis", lambda: Net(lambda z, x: z.flatten()), "refused"),
    ("integers", lambda: Net(lambda z, x: (z > 0).long()), "refused"),
    ("booleans", lambda: Net(lambda z, x: z > 0), "refused"),
    ("complex numbers", lambda: Net(lambda z, x: z.to(torch.complex64)), "refused"),
    ("half precision", lambda: Net(lambda z, x: z.half()), "either"),
    ("double precision", lambda: Net(lambda z, x: z.double()), "either"),
    ("sparse outputs", lambda: Net(lambda z, x: z.to_sparse()), "refused"),
    ("the device meta", lambda: Net(lambda z, x: z.to("meta")), "refused"),
    ("a ValueError inside", lambda: Failing(ValueError("odd size")), "refused"),
    ("a RuntimeError inside", lambda: Failing(RuntimeError("shapes do not fit")), "refused"),
    ("a KeyError inside", lambda: Failing(KeyError("x")), "refused"),
    ("another input size", lambda: nn.Sequential(nn.Flatten(), nn.Linear(100, 12)), "refused"),
    ("no module", lambda: "net", "refused"),
    ("a class", lambda: nn.Linear, "refused"),
    ("a number", lambda: 7, "refused"),
    ("None as network", lambda: None, "refused"),
)  # fmt: skip
"""A network, and whether it may be accepted."""


def hostile() -> dict[str, Any]:
    """Values that are not what an argument wants."""
    return {
        "None": None,
        "text": "text",
        "empty text": "",
        "-1": -1,
        "0": 0,
        "1.5": 1.5,
        "NaN": float("nan"),
        "infinity": float("inf"),
        "2^70": 2**70,
        "True": True,
        "an object": object(),
        "a dict": {"a": 1},
        "a set": {1, 2},
        "an empty list": [],
        "a ragged list": [[1, 2], [3]],
        "a list of text": ["a", "b"],
        "bytes": b"\0\1",
        "no rows": np.zeros((0, 3, 8, 8), np.float32),
        "no axis": np.array(0.5),
        "objects": np.array([None, "a"], object),
        "complex": np.ones((4, 3, 8, 8), np.complex64),
        "datetime": np.zeros((4, 3, 8, 8), "M8[s]"),
        "structured": np.zeros(4, [("a", "i4")]),
        "text array": np.array(["a"] * 4),
        "NaN array": np.full((4, 3, 8, 8), np.nan, np.float32),
        "beyond 1": np.full((4, 3, 8, 8), 3.0, np.float32),
        "negative": np.full((4, 3, 8, 8), -1.0, np.float32),
        "one channel": np.zeros((4, 1, 8, 8), np.float32),
        "channels last": np.zeros((4, 8, 8, 3), np.float32),
        "five axes": np.zeros((4, 2, 3, 8, 8), np.float32),
        "other size": np.zeros((4, 3, 9, 7), np.float32),
        "int64": np.zeros((4, 3, 8, 8), np.int64),
        "uint16": np.full((4, 3, 8, 8), 300, np.uint16),
        "half": torch.zeros(4, 3, 8, 8, dtype=torch.float16),
        "meta": torch.zeros(4, 3, 8, 8, device="meta"),
        "sparse": torch.zeros(4, 192).to_sparse(),
        "labels -1": [-1, 0, 1, 0],
        "labels 10^12": [10**12, 0, 1, 0],
        "labels of fractions": [0.5, 0, 1, 0],
        "three labels": [0, 1, 0],
        "wide labels": np.ones((4, 50), bool),
        "labels of 2": np.full((4, 2), 2),
        "a read-only array": read_only(),
        "a transposed array": np.zeros((8, 8, 3, 4), np.float32).T,
        "a large int list": [10**400],
    }


def read_only() -> np.ndarray:
    """An array that nobody may write."""
    array = np.zeros((4, 3, 8, 8), np.float32)
    array.flags.writeable = False
    return array


def good() -> tuple[Any, Any, Any, Any]:
    """A victim, a database, queries and a goal."""
    import hashprobe as hp

    rng = np.random.default_rng(0)
    victim = hp.Victim(Net(lambda z, x: z), bits=12, size=8)
    pixels = rng.random((24, 3, 8, 8)).astype(np.float32)
    database = victim.encode(pixels[4:], labels=[0, 1] * 10)
    goal = hp.targets(database, avoid=[0, 1, 0, 1], n_t=3)
    return victim, database, pixels[:4], goal


def attacked(victim: Any, database: Any, queries: Any, goal: Any, **more: Any) -> Any:
    """A short attack."""
    import hashprobe as hp

    given = {"eps": 0.1, "steps": 2, **more}
    return hp.attack(victim, queries, goal, **given)


Entry = tuple[str, Callable[[Any], object], tuple[str, ...]]


def entries() -> tuple[Entry, ...]:
    """Places of the library that take a value, with the names whose docstring tells what is raised."""
    import hashprobe as hp

    def with_good(use: Callable[..., object]) -> Callable[[Any], object]:
        return lambda value: use(value, *good())

    attack, evaluate = ("attack",), ("evaluate",)
    return (
        ("Victim(bits)", lambda v: hp.Victim(Net(lambda z, x: z), bits=v, size=8), ("Victim",)),
        ("Victim(size)", lambda v: hp.Victim(Net(lambda z, x: z), bits=12, size=v), ("Victim",)),
        ("Victim(mean)", lambda v: hp.Victim(Net(lambda z, x: z), bits=12, mean=v), ("Victim",)),
        ("Victim(std)", lambda v: hp.Victim(Net(lambda z, x: z), bits=12, std=v), ("Victim",)),
        ("Victim(filter)", lambda v: hp.Victim(Net(lambda z, x: z), bits=12, filter=v), ("Victim",)),
        ("Victim(fit)", lambda v: hp.Victim(Net(lambda z, x: z), bits=12, fit=v), ("Victim",)),
        ("Victim(frames)", lambda v: hp.Victim(Net(lambda z, x: z), bits=12, frames=v), ("Victim",)),
        ("encode(pixels)", with_good(lambda v, victim, *_: victim.encode(v, labels=None)), ("Victim",)),
        ("encode(labels)", with_good(lambda v, victim, d, q, g: victim.encode(q, labels=v)), ("Victim",)),
        ("targets(database)", lambda v: hp.targets(v, avoid=[0, 1]), ("targets",)),
        ("targets(avoid)", with_good(lambda v, a, d, q, g: hp.targets(d, avoid=v)), ("targets",)),
        ("targets(n_t)", with_good(lambda v, a, d, q, g: hp.targets(d, avoid=[0, 1], n_t=v)), ("targets",)),
        ("targets(seed)", with_good(lambda v, a, d, q, g: hp.targets(d, avoid=[0, 1], seed=v)), ("targets",)),
        ("attack(victim)", with_good(lambda v, a, d, q, g: attacked(v, d, q, g)), attack),
        ("attack(queries)", with_good(lambda v, a, d, q, g: attacked(a, d, v, g)), attack),
        ("attack(goal)", with_good(lambda v, a, d, q, g: attacked(a, d, q, v)), attack),
        ("attack(attack)", with_good(lambda v, a, d, q, g: hp.attack(a, q, g, v)), attack),
        ("attack(eps)", with_good(lambda v, a, d, q, g: attacked(a, d, q, g, eps=v)), attack),
        ("attack(seed)", with_good(lambda v, a, d, q, g: attacked(a, d, q, g, seed=v)), attack),
        ("attack(steps)", with_good(lambda v, a, d, q, g: attacked(a, d, q, g, steps=small(v))), attack),
        ("attack(n_t)", with_good(lambda v, a, d, q, g: attacked(a, d, q, g, n_t=v)), attack),
        ("attack(options)", with_good(lambda v, a, d, q, g: hp.attack(a, q, g, options=v)), attack),
        ("attack(runtime)", with_good(lambda v, a, d, q, g: attacked(a, d, q, g, runtime=v)), attack),
        ("evaluate(attacked)", with_good(lambda v, a, d, q, g: hp.evaluate(v, d)), evaluate),
        ("evaluate(database)", with_good(lambda v, a, d, q, g: hp.evaluate(attacked(a, d, q, g), v)), evaluate),
        ("evaluate(labels)", with_good(lambda v, a, d, q, g: hp.evaluate(attacked(a, d, q, g), d, labels=v)), evaluate),
        ("evaluate(top)", with_good(lambda v, a, d, q, g: hp.evaluate(attacked(a, d, q, g), d, top=v)), evaluate),
        ("evaluate(ties)", with_good(lambda v, a, d, q, g: hp.evaluate(attacked(a, d, q, g), d, ties=v)), evaluate),
        ("Budget(eps)", lambda v: hp.Budget(v), ("Budget",)),
        ("Budget(space)", lambda v: hp.Budget(0.1, space=v), ("Budget",)),
        ("Budget(frames)", lambda v: hp.Budget(0.1, frames=v), ("Budget",)),
        ("Runtime(batch_size)", lambda v: hp.Runtime(batch_size=v), ("Runtime",)),
        ("Runtime(precision)", lambda v: hp.Runtime(precision=v), ("Runtime",)),
        ("Runtime(workers)", lambda v: hp.Runtime(workers=v), ("Runtime",)),
        ("InputContract(size)", lambda v: hp.InputContract(size=v), ("InputContract",)),
        ("Queries(pixels)", lambda v: hp.Queries(v), ("Queries",)),
        ("Queries(ids)", lambda v: hp.Queries(torch.zeros(4, 3, 8, 8), ids=v), ("Queries",)),
        ("PackedCodes(data)", lambda v: hp.PackedCodes(v, 8), ("PackedCodes",)),
        ("PackedCodes(bits)", lambda v: hp.PackedCodes(np.zeros((4, 1), np.uint8), v), ("PackedCodes",)),
        ("from_signs", lambda v: hp.PackedCodes.from_signs(v), ("PackedCodes",)),
        ("from_logits", lambda v: hp.PackedCodes.from_logits(v), ("PackedCodes",)),
        ("Goal.targeted", lambda v: hp.Goal.targeted(v), ("Goal",)),
        ("AttackSpec(name)", lambda v: hp.AttackSpec(v), ("AttackSpec",)),
        ("AttackSpec(seed)", lambda v: hp.AttackSpec("dhta", seed=v), ("AttackSpec",)),
        ("load_victim", lambda v: hp.load_victim(v, bits=4), ("load_victim",)),
        ("load_code_file", lambda v: hp.evaluation.load_code_file(v), ("evaluation.load_code_file",)),
    )  # fmt: skip


def small(value: Any) -> Any:
    """A number of steps that ends: 10^21 of them are asked for in good faith."""
    return 10 if isinstance(value, int) and value > 1000 else value


def documented(names: tuple[str, ...]) -> tuple[str, ...]:
    """Exceptions that docstrings name under Raises."""
    import hashprobe

    found: set[str] = set()
    for name in names:
        thing: Any = hashprobe
        for part in name.split("."):
            thing = getattr(thing, part)
        texts = [thing.__doc__ or ""]
        if isinstance(thing, type):
            texts += [getattr(getattr(thing, member), "__doc__", "") or "" for member in dir(thing)]
        for text in texts:
            raises = text.partition("Raises:")[2].partition("Example:")[0]
            found |= set(re.findall(r"\b([A-Z]\w*(?:Error|Exception))\b", raises))
    return tuple(found)


def cases(rng: np.random.Generator, stage: Stage, number: int) -> Case:
    """One network or one value."""
    if number < len(NETWORKS):
        title, make, wanted = NETWORKS[number]
        return Case(f"network: {title}", call=lambda: whole(make()), wanted=wanted)
    places = entries()
    name, use, names = places[(number - len(NETWORKS)) % len(places)]
    values = hostile()
    kind = str(rng.choice(list(values)))
    value = values[kind]
    return Case(f"{name}: {kind}", call=lambda: use(value), documented=documented(names))


def whole(network: Any) -> None:
    """Everything that a foreign network is used for."""
    import hashprobe as hp

    victim = hp.Victim(network, bits=12, size=8)
    _, _, queries, _ = good()
    database = victim.encode(np.repeat(queries, 5, 0), labels=[0, 1] * 10)
    goal = hp.targets(database, avoid=[0, 1, 0, 1], n_t=3)
    print(hp.evaluate(attacked(victim, database, queries, goal), database))
