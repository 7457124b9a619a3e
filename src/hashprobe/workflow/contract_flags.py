"""What a contract says, as options of the command line."""

from hashprobe.types import InputContract


RANGES = {"0..255": (255.0, 0.0), "-1..1": (2.0, -1.0)}
"""Ranges, and what pixels in [0, 1] are multiplied by and what is added then."""


def flags_between(here: InputContract, there: InputContract) -> tuple[str, ...]:
    """The options that make one contract of another.

    Args:
        here: what was said.
        there: what is meant.

    Returns:
        Options with their values; those that are the same are left out.

    Example:
        >>> flags_between(InputContract(), InputContract(filter="box", bgr=True))
        ('--bgr', '--mean 0.406,0.456,0.485', '--std 0.225,0.224,0.229', '--filter box')
        >>> grey = InputContract(mean=(0.5,) * 3, std=(0.5,) * 3)
        >>> flags_between(InputContract(), grey)
        ('--range -1..1 --mean 0 --std 1',)
    """
    flags = []
    if there.bgr != here.bgr:
        flags.append("--bgr" if there.bgr else "no --bgr")
    if (there.mean, there.std) != (here.mean, here.std):
        flags.append(normalisation(there))
    elif there.bgr != here.bgr and len({*there.mean}) + len({*there.std}) > 2:
        flags += [f"--mean {numbers(there.mean, there)}", f"--std {numbers(there.std, there)}"]
    if there.fit != here.fit:
        flags.append(f"--resize {'shorter' if there.fit == 'crop' else there.fit}")
    if there.resize_to != here.resize_to:
        flags.append(f"--resize-to {there.resize_to or there.size}")
    if there.filter != here.filter:
        flags.append(f"--filter {there.filter}")
    return tuple(flags)


def normalisation(contract: InputContract) -> str:
    """Range, mean and std of a contract, as one option."""
    for name, (scale, offset) in RANGES.items():
        plain = all(abs(std * scale - 1) < 1e-9 for std in contract.std)
        if plain and name == "0..255":
            means = tuple(mean * scale for mean in contract.mean)
            return f"--range 0..255 --mean {numbers(means, contract)} --std 1"
        if plain and all(abs(mean * scale + offset) < 1e-9 for mean in contract.mean):
            return f"--range {name} --mean 0 --std 1"
    mean, std = (numbers(values, contract) for values in (contract.mean, contract.std))
    return f"--range 0..1 --mean {mean} --std {std}"


def numbers(values: tuple[float, ...], contract: InputContract) -> str:
    """Numbers in the order of a network's channels, one if they are all the same."""
    ordered = values[::-1] if contract.bgr else values
    shown = ordered[:1] if len(set(values)) == 1 else ordered
    return ",".join(f"{value:.6g}" for value in shown)
