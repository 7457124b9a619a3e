"""Which attacks the golden outputs are of: every attack on every medium."""

from dataclasses import dataclass, field
from typing import Any


ATTACKS = ("bit-margin", "dhta", "feature", "hag", "noise", "p2p")


@dataclass(frozen=True)
class Case:
    """One attack on the five queries of one victim."""

    attack: str
    victim: str
    budget: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    precision: str = "float32"
    batch_size: int | None = None
    name: str = ""
    direct: bool = False
    """Whether the attack is called by itself, in float64, on pixels between grey levels."""

    @property
    def key(self):
        return f"{self.attack}/{self.victim}/{self.name}"


def steps(attack, count):
    return {} if attack == "noise" else {"steps": count}


def cases():
    found = []
    for attack in ATTACKS:
        size = {"step_size": 0.3} if attack in ("dhta", "p2p") else {}
        six = {**steps(attack, 6), **size}
        for victim in ("conv", "small"):
            found += [
                Case(attack, victim, {"eps": 8 / 255}, six, name="8of255"),
                Case(attack, victim, {"eps": 0.06, "space": "normalised"}, six, name="normalised"),
                Case(attack, victim, {"eps": 8 / 255}, six, "bfloat16", name="bfloat16"),
                Case(attack, victim, {"eps": 8 / 255}, six, batch_size=2, name="batch2"),
                Case(attack, victim, {"eps": 8 / 255}, six, name="float64", direct=True),
            ]
            if attack != "bit-margin":
                found.append(Case(attack, victim, {"eps": 0.4 / 255}, six, name="below1"))
        for victim in ("lstm", "together"):
            few = {**steps(attack, 13), **size}
            for name, rule in (
                ("all", {}),
                ("frames2", {"frames": 2}),
                ("shared", {"shared": True}),
                ("frames2-shared", {"frames": 2, "shared": True}),
            ):
                budget = {"eps": 64 / 255, **rule}
                found.append(Case(attack, victim, budget, few, name=name))
            found += [
                Case(attack, victim, {"eps": 64 / 255}, few, "bfloat16", name="bfloat16"),
                Case(attack, victim, {"eps": 64 / 255}, few, batch_size=2, name="batch2"),
                Case(attack, victim, {"eps": 64 / 255}, few, name="float64", direct=True),
                Case(attack, victim, {"eps": 0.3, "space": "normalised"}, few, name="normalised"),
            ]
    for victim, eps in (("conv", 8 / 255), ("small", 4 / 255), ("lstm", 16 / 255)):
        options = {"steps": 12, "restarts": 2}
        found.append(Case("bit-margin", victim, {"eps": eps}, options, name="restarts"))
        found.append(Case("bit-margin", victim, {"eps": eps}, {}, name="default"))
    shared = {"eps": 16 / 255, "shared": True}
    found.append(
        Case("bit-margin", "lstm", shared, {"steps": 12, "restarts": 2}, name="shared-restarts")
    )
    for rule in ("sign", "pgd"):
        for victim in ("conv", "lstm"):
            found.append(
                Case("feature", victim, {"eps": 0.05}, {"rule": rule, "steps": 8}, name=rule)
            )
    for victim in ("conv", "small"):
        found.append(Case("dhta", victim, {"eps": 8 / 255}, {"steps": 200}, name="200steps"))
        found.append(Case("hag", victim, {"eps": 8 / 255}, {"steps": 200}, name="200steps"))
    # P2P takes DHTA's steps, and noise knows no network: one case of each medium says enough.
    known = ("bfloat16", "batch2")
    return [case for case in found if case.attack not in ("p2p", "noise") or case.name not in known]
