"""Compares a victim's codes with those that are stored, and finds what makes them equal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from typing import Any, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.codes.convention import BitConvention
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.fitting import fit_image
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.types import Filter, Fit, InputContract
from hashprobe.victims.base import Hasher, in_own_dtype
from hashprobe.victims.embedding import Embedding
from hashprobe.victims.encoding import device_of, encode, judging
from hashprobe.victims.wrap import BELOW, Victim
from hashprobe.workflow.contract_flags import flags_between


Ones: TypeAlias = Bool[np.ndarray, "_ _"]
"""Which bits of which pictures are 1."""

MOST = 20
"""Pictures that are compared at most."""
FEW = 4
"""Pictures on which contracts are tried first."""
NEAR = 0.02
"""Share of bits up to which a difference is put down to decoders and rounding."""
TRIED = 6
"""Contracts that are tried on all pictures, of those tried on a few."""
SHOWN = 5
"""Candidates that are kept."""
BATCH = 10
"""Pictures in the network at once."""

Three: TypeAlias = tuple[float, float, float]

NORMS: tuple[tuple[Three, Three], ...] = (
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    ((123 / 255, 117 / 255, 104 / 255), (1 / 255, 1 / 255, 1 / 255)),
)
"""Means and deviations that are tried: none, 0..255, -1..1, ImageNet's, CLIP's, Caffe's."""
FILTERS: tuple[Filter, ...] = ("bilinear", "bicubic", "lanczos", "box", "nearest")
MARGIN = 256 / 224
"""What pictures are usually resized to before the centre is cut out, as a multiple of size."""


@checked
@dataclass(frozen=True)
class Remedy:
    """Something that is other than was said, and what would differ then.

    Example:
        >>> Remedy(("--bgr",), 0.0).flags
        ('--bgr',)
    """

    flags: tuple[str, ...]
    """Options of the command line that say it; empty for things as they are."""
    differing: float
    """Mean bits that differ then."""
    convention: BitConvention = field(default_factory=BitConvention)
    """How the stored codes must be read."""
    contract: InputContract | None = None
    """What the network expects; None if that stays as it is."""
    zero_bit: int | None = None
    """The bit of an output of exactly 0; None if that stays as it is."""

    @property
    def changes(self) -> int:
        """How many things are other than was said."""
        return (
            len(self.convention.flags) + (self.contract is not None) + (self.zero_bit is not None)
        )


@checked
@dataclass(frozen=True)
class CodeCheck:
    """Whether a victim gives the codes that are stored.

    Example:
        >>> print(CodeCheck(20, 64, 0.0))
        the codes of all 20 pictures are those that are stored
    """

    pictures: int
    """How many pictures were compared."""
    bits: int
    """K, the length of a code."""
    differing: float
    """Mean bits of a picture that differ."""
    candidates: tuple[Remedy, ...] = ()
    """What comes nearest, the nearest first; empty where nothing differs."""

    @property
    def equal(self) -> bool:
        """Whether no bit differs."""
        return self.differing == 0

    @property
    def agrees(self) -> bool:
        """Whether at most 2 % of the bits differ."""
        return self.differing <= NEAR * self.bits

    @property
    def remedy(self) -> Remedy | None:
        """What makes the codes equal, or nearly so where they are not; None if nothing does."""
        best = next(iter(self.candidates), None)
        if best is None or (best.differing and (self.agrees or best.differing > NEAR * self.bits)):
            return None
        return best

    def to_json(self) -> dict[str, Any]:
        """As JSON: flags are those of the remedy, null where nothing helps.

        Example:
            >>> CodeCheck(20, 64, 0.0).to_json()["flags"]
        """
        near = [{"flags": list(c.flags), "differing": c.differing} for c in self.candidates]
        return {
            "pictures": self.pictures,
            "bits": self.bits,
            "differing": self.differing,
            "agrees": self.agrees,
            "flags": None if self.remedy is None else list(self.remedy.flags),
            "candidates": near,
        }

    def __str__(self) -> str:
        if self.equal:
            return f"the codes of all {self.pictures} pictures are those that are stored"
        text = f"{self.differing:.1f} of {self.bits} bits differ"
        text = f"{text} on average in {self.pictures} pictures"
        if self.remedy is not None:
            left = self.remedy.differing
            rest = "none does" if not left else f"{left:.1f} do"
            return f"{text}; with {' '.join(self.remedy.flags)} {rest}"
        if self.agrees:
            return f"{text}, as other decoders of pictures and rounding make it"
        shown = "; ".join(f"{' '.join(c.flags)}: {c.differing:.1f}" for c in self.candidates[:3])
        nearest = f"the nearest are {shown}" if shown else "nothing that was tried is nearer"
        return (
            f"{text}, and no option makes them equal ({nearest}): are these the network, the "
            "pictures and their order that the codes were made of?"
        )


@checked
def check_codes(victim: Hasher, stored: PackedCodes, pictures: Sequence[Any]) -> CodeCheck:
    """Compares a victim's codes with stored ones, and looks for what would make them equal.

    Where bits differ, it tries one by one, and then by two: order, direction and polarity of the
    bits, the bit of 0, the order of the channels, mean and std, filter and fit of the resize. Only
    the layout of the bits is tried for a victim that knows its own input.

    Args:
        victim: left as it was.
        stored: N codes of K bits, as they are stored.
        pictures: N pictures that they are of, uint8 (3, H, W) each, arrays or tensors of any size;
            at most 20 are compared, evenly spread.

    Returns:
        How many bits differ, and what would help.

    Raises:
        HashprobeError: other numbers of codes and pictures, codes of another length, none at all,
            or a network that fails.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 8))
        >>> victim = Victim(network, bits=8, size=2, mean=0.5)
        >>> pictures = torch.randint(0, 256, (4, 3, 2, 2), dtype=torch.uint8)
        >>> stored = victim.encode(pictures).packed
        >>> check_codes(victim, BitConvention("little").read(stored), list(pictures)).remedy.flags
        ('--bit-order little',)
    """
    if len(pictures) != len(stored) or not len(stored):
        raise HashprobeError(
            f"each stored code needs its picture; got {len(stored)} codes and {len(pictures)} "
            "pictures"
        )
    if stored.bits != victim.bits:
        raise HashprobeError(
            f"the stored codes have {stored.bits} bits and the network gives {victim.bits}: is it "
            "the network that they were made by, and its binariser?"
        )
    rows = np.unique(np.linspace(0, len(stored) - 1, min(MOST, len(stored))).astype(int))
    some = [torch.as_tensor(pictures[row]) for row in rows]
    there = stored[rows].signs() > 0
    trial = Trial(victim, some)
    now = trial.differing(there, victim.contract)[0].differing
    if not now:
        return CodeCheck(len(rows), stored.bits, 0.0)
    return CodeCheck(len(rows), stored.bits, now, tuple(search(trial, there))[:SHOWN])


def search(trial: "Trial", there: Ones) -> list[Remedy]:
    """What comes nearest to the stored codes, the nearest first; each is nearer than things are."""
    base = trial.victim.contract
    found = trial.differing(there, base)
    now = found[0].differing
    if trial.varies and min(each.differing for each in found) > 0:
        single = list(variations(base))
        few = Trial(trial.victim, trial.pictures[:FEW])

        def nearest(contracts: list[InputContract]) -> list[Remedy]:
            """What all pictures say of the contracts that are best for a few of them."""
            best = [min(r.differing for r in few.differing(there[:FEW], c)) for c in contracts]
            ranked = [contracts[place] for place in np.argsort(best, kind="stable")[:TRIED]]
            return [each for contract in ranked for each in trial.differing(there, contract)]

        found += nearest([contract for group in single for contract in group])
        if min(each.differing for each in found) > 0:
            found += nearest(
                [
                    merged(base, one, other)
                    for first, second in combinations(single, 2)
                    for one, other in product(first, second)
                ]
            )
    better = [each for each in found if each.flags and each.differing < now]
    return sorted(better, key=lambda each: (each.differing, len(each.flags), each.flags))


def variations(contract: InputContract) -> Iterator[list[InputContract]]:
    """Contracts that differ in one thing, in groups by what it is."""
    turned = replace(contract, bgr=not contract.bgr)
    by_place = replace(turned, mean=contract.mean[::-1], std=contract.std[::-1])
    yield [turned] if turned == by_place else [turned, by_place]
    yield [replace(contract, filter=each) for each in FILTERS if each != contract.filter]
    larger = round(contract.size * MARGIN)
    fits = product(get_args(Fit), (0, larger))
    yield [
        each
        for fit, side in fits
        if not (fit == "pad" and side)
        and (each := replace(contract, fit=fit, resize_to=side)) != contract
    ]
    turned_around = (contract.mean[::-1], contract.std[::-1])
    yield [
        replace(contract, mean=mean, std=std)
        for mean, std in (*NORMS, turned_around)
        if not np.allclose([mean, std], [contract.mean, contract.std], atol=1e-3)
    ]


def merged(base: InputContract, one: InputContract, other: InputContract) -> InputContract:
    """A contract with what each of two changes of the base."""
    names = [name for name in vars(base) if getattr(other, name) != getattr(base, name)]
    return replace(one, **{name: getattr(other, name) for name in names})


@dataclass(eq=False)
class Trial:
    """Some pictures, and what a victim makes of them under several contracts."""

    victim: Hasher
    pictures: list[Tensor]
    fitted: dict[tuple[Any, ...], list[Tensor]] = field(default_factory=dict)
    logits: dict[InputContract, tuple[Ones, Ones]] = field(default_factory=dict)

    @property
    def varies(self) -> bool:
        """Whether the victim can be told to expect another input."""
        inner = self.victim.victim if isinstance(self.victim, Embedding) else self.victim
        return isinstance(inner, Victim) and not self.victim.contract.frames

    def differing(self, there: Ones, contract: InputContract) -> list[Remedy]:
        """Mean bits that differ under a contract, for every way to lay out the bits."""
        base = self.victim.contract
        # Codes as they are first, then with the other bit for outputs of 0.
        same, other = self.ones(contract)
        changed = None if contract == base else contract
        flags = () if changed is None else flags_between(base, contract)
        results = []
        for ones, zero in ((same, None), (other, 1 - self.zero_bit)):
            if zero is not None and np.array_equal(same, other):
                continue
            more = () if zero is None else (f"--zero-bit {zero}",)
            for convention in conventions(there.shape[1]):
                read = laid_out(there, convention)
                results.append(
                    Remedy(
                        (*flags, *more, *convention.flags),
                        float((read != ones).sum(1).mean()),
                        convention,
                        changed,
                        zero,
                    )
                )
        return results

    @property
    def zero_bit(self) -> int:
        """The bit that the victim gives to an output of 0."""
        return int(getattr(self.victim, "zero_bit", 1))

    def ones(self, contract: InputContract) -> tuple[Ones, Ones]:
        """Bits under a contract, by the victim's rule for outputs of 0 and by the other."""
        if contract not in self.logits:
            self.logits[contract] = self.encoded(contract)
        return self.logits[contract]

    def encoded(self, contract: InputContract) -> tuple[Ones, Ones]:
        """The same, computed."""
        pixels = self.fit(contract)
        if not self.varies:
            rows = [encode(self.victim, Queries(each)).signs() > 0 for each in pixels]
            ones = np.concatenate(rows)
            return ones, ones
        victim = varied(self.victim, contract)
        with judging(victim, device_of(victim)):
            outputs = [victim(in_own_dtype(victim, each)).double().cpu() for each in pixels]
        logits = torch.cat(outputs).numpy()
        if np.isnan(logits).any():
            raise HashprobeError("the network gives NaN for pictures of the database")
        above, zero = logits > BELOW, np.abs(logits) <= BELOW
        rules = (above, above | zero)
        return rules[self.zero_bit], rules[1 - self.zero_bit]

    def fit(self, contract: InputContract) -> list[Tensor]:
        """The pictures in [0, 1] at the size of a contract, in batches of one size."""
        key = (contract.size, contract.filter, contract.fit, contract.resize_to)
        if key not in self.fitted:
            self.fitted[key] = [fit_image(each, contract) for each in self.pictures]
        device, batches = device_of(self.victim), list[list[Tensor]]()
        for each in self.fitted[key]:
            if not batches or len(batches[-1]) == BATCH or batches[-1][0].shape != each.shape:
                batches.append([])
            batches[-1].append(each)
        return [torch.stack(batch).to(device).float().div_(255) for batch in batches]


def varied(victim: Hasher, contract: InputContract) -> Hasher:
    """A victim with the same weights that expects another input."""
    assert isinstance(victim, Victim | Embedding)
    return victim.with_contract(contract)


def conventions(bits: int) -> Iterator[BitConvention]:
    """Every way to lay out the bits of a code, as here first."""
    orders = ("big", "little") if bits % 8 == 0 and bits > 1 else ("big",)
    for inverted, backwards, order in product((False, True), (False, True), orders):
        yield BitConvention(order, backwards, inverted)  # type: ignore[arg-type]


def laid_out(ones: Ones, convention: BitConvention) -> Ones:
    """Bits that were stored by a convention, as they are laid out here."""
    if convention.order == "little":
        ones = ones.reshape(len(ones), -1, 8)[:, :, ::-1].reshape(len(ones), -1)
    if convention.reversed:
        ones = ones[:, ::-1]
    return ~ones if convention.inverted else ones
