"""Every attack by its name: the only place that knows one."""

from hashprobe.attacks._bit_margin import BitMarginOptions, bit_margin
from hashprobe.attacks._dhta import DhtaOptions, dhta
from hashprobe.attacks._feature import FeatureOptions, feature
from hashprobe.attacks._hag import HagOptions, hag
from hashprobe.attacks._noise import NoiseOptions, noise
from hashprobe.attacks._p2p import P2pOptions, p2p
from hashprobe.attacks.contract import Attack


DEFAULT = "bit-margin"
"""The attack that is meant where none is named."""

ATTACKS: dict[str, Attack] = {
    DEFAULT: Attack(bit_margin, BitMarginOptions),
    "dhta": Attack(dhta, DhtaOptions),
    "feature": Attack(feature, FeatureOptions, wants_images=True),
    "hag": Attack(hag, HagOptions),
    "noise": Attack(noise, NoiseOptions),
    "p2p": Attack(p2p, P2pOptions),
}
"""Every attack by name, with its function and the class of its options."""
