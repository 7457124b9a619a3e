"""Pixels to pixels: attacks that steer a query's code, and the runner that judges them.

A new attack is one file with frozen options and one function, and one line in `ATTACKS`.
"""

from hashprobe.attacks.attacked import Attacked, Stored
from hashprobe.attacks.bit_margin import BitMarginOptions, bit_margin
from hashprobe.attacks.contract import Attack, AttackFunction
from hashprobe.attacks.craft import DEFAULT, craft
from hashprobe.attacks.dhta import PRESETS, DhtaOptions, Preset, alpha_at, dhta
from hashprobe.attacks.encoding import encode
from hashprobe.attacks.feature import FeatureOptions, feature
from hashprobe.attacks.hag import HagOptions, hag, hag_loss
from hashprobe.attacks.noise import NoiseOptions, noise
from hashprobe.attacks.objectives import bit_margin_loss, inner_product_loss
from hashprobe.attacks.p2p import P2pOptions, p2p
from hashprobe.attacks.session import Precision, Session
from hashprobe.attacks.targets import (
    TargetCodes,
    anchor_code,
    draw_target_codes,
    draw_target_labels,
    vote,
)


ATTACKS: dict[str, Attack] = {
    DEFAULT: Attack(bit_margin, BitMarginOptions),
    "dhta": Attack(dhta, DhtaOptions),
    "feature": Attack(feature, FeatureOptions, wants_images=True),
    "hag": Attack(hag, HagOptions),
    "noise": Attack(noise, NoiseOptions),
    "p2p": Attack(p2p, P2pOptions),
}
"""Every attack by name, with its function and the class of its options."""

__all__ = [
    "ATTACKS",
    "DEFAULT",
    "PRESETS",
    "Attack",
    "AttackFunction",
    "Attacked",
    "BitMarginOptions",
    "DhtaOptions",
    "FeatureOptions",
    "HagOptions",
    "NoiseOptions",
    "P2pOptions",
    "Precision",
    "Preset",
    "Session",
    "Stored",
    "TargetCodes",
    "alpha_at",
    "anchor_code",
    "bit_margin",
    "bit_margin_loss",
    "craft",
    "dhta",
    "draw_target_codes",
    "draw_target_labels",
    "encode",
    "feature",
    "hag",
    "hag_loss",
    "inner_product_loss",
    "noise",
    "p2p",
    "vote",
]
