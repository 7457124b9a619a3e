"""What a certificate of a run is asked for, its table and its curves; imports no torch."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement
from hashprobe.report.content import Curve
from hashprobe.report.figures import curve_figure
from hashprobe.storage.files import fingerprint
from hashprobe.types import check_seed, check_whole
from hashprobe.workflow.comparison_cells import aligned, interval


SIGMAS = 0.001, 1.0
"""The noise of a vote, as `Smoothing` takes it."""


@checked
@dataclass(frozen=True)
class CertifyOptions:
    """Which vote is certified, for which changes, and on which queries.

    Raises:
        HashprobeError: an option of another type, or a number out of range.

    Example:
        >>> CertifyOptions().votes
        101
    """

    norms: tuple[float, ...] = (0.02, 0.05, 0.1)
    """l2 norms of the change, in units of white, growing. A change of eps in every value of an
    image of H x W has the norm eps sqrt(3 H W)."""
    queries: int = 50
    """Queries, drawn as attack draws them."""
    sigma: float = 0.1
    """Deviation of the noise of each copy, 0.001 to 1, in units of white."""
    votes: int = 101
    """Noisy copies whose majority is the code that is certified, odd, 1 to 1000."""
    samples: int = 1000
    """Noisy copies of each query that the certificate is computed from."""
    error: float = 0.001
    """Chance that these samples certify any bit of a query wrongly."""
    miss: float = 0.001
    """Chance that the vote errs in any certified bit of a picture."""
    top: int | None = None
    """List length T of MAP; by default the whole database."""
    radius: int | None = None
    """Largest distance that matches; by default an eighth of the bits."""
    steps: int = 20
    """Steps of each attack."""
    seed: int = 0
    """Seed of queries, noise and attacks."""

    def __post_init__(self) -> None:
        for name in ("queries", "samples", "steps"):
            check_whole(name, getattr(self, name))
        check_whole("votes", self.votes, 1, 1000)
        if self.votes % 2 == 0:
            raise HashprobeError(f"votes must be odd; got {self.votes}")
        if not SIGMAS[0] <= self.sigma <= SIGMAS[1]:
            raise HashprobeError(f"sigma must be {SIGMAS[0]:g} to {SIGMAS[1]:g}; got {self.sigma}")
        for name in ("error", "miss"):
            if not 0 < getattr(self, name) < 1:
                raise HashprobeError(
                    f"{name} must be above 0 and below 1; got {getattr(self, name)}"
                )
        norms = list(self.norms)
        if not norms or norms != sorted(set(norms)) or not 0 < norms[0] <= norms[-1] < inf:
            said = ", ".join(f"{norm:g}" for norm in norms)
            raise HashprobeError(f"norms must grow from above 0; got {said or 'none'}")
        if self.top is not None:
            check_whole("top", self.top)
        if self.radius is not None:
            check_whole("radius", self.radius, 0)
        check_seed(self.seed)

    @property
    def name(self) -> str:
        """The folder of certificates of the same vote on the same queries.

        Example:
            >>> CertifyOptions().name
            'sigma0.1-101votes-of50-seed0'
        """
        return f"sigma{self.sigma:g}-{self.votes}votes-of{self.queries}-seed{self.seed}"

    @property
    def key(self) -> str:
        """Eight digits of all options; they are in the names of what is made of them.

        Example:
            >>> CertifyOptions().key == CertifyOptions(steps=10).key
            False
        """
        return fingerprint({**asdict(self), "norms": [*map(float, self.norms)]})[:8]


@dataclass(frozen=True, eq=False)
class CertifiedSide:
    """What a certificate allows at most, or what an attack reached, on some queries.

    Example:
        >>> [field for field in CertifiedSide.__dataclass_fields__]
        ['bits', 'map', 'match']
    """

    bits: Measurement
    """Bits that turn over."""
    map: Measurement
    """MAP by the queries' own labels; AP divided by min(R, T), ties against the query."""
    match: Measurement
    """Share of the queries that lie within the radius of their own untouched code."""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        parts = {"bits": self.bits, "map": self.map, "match": self.match}
        return {name: part.to_json() for name, part in parts.items()}


@dataclass(frozen=True, eq=False)
class CertifiedRow:
    """Both sides at one norm; the truth lies between them.

    Example:
        >>> [field for field in CertifiedRow.__dataclass_fields__]
        ['norm', 'eps', 'certified', 'attacked']
    """

    norm: str
    """l2, of the vote, or linf, of the network itself."""
    eps: float
    """How large a change may be."""
    certified: CertifiedSide
    attacked: CertifiedSide | None
    """The worst for each query of all attacks up to this norm; None where none was made."""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        attacked = None if self.attacked is None else self.attacked.to_json()
        sides = {"certified": self.certified.to_json(), "attacked": attacked}
        return {"norm": self.norm, "eps": self.eps, **sides}

    @property
    def title(self) -> str:
        """The norm in words."""
        if self.norm == "l2":
            return f"l2 {self.eps:g}"
        return f"l-inf {255 * self.eps:g}/255, no vote"


@dataclass(frozen=True, eq=False)
class RunCertificate:
    """What no change of some norms can do to the vote of a run, beside what attacks did.

    Example:
        >>> made = RunCertificate("runs/a", CertifyOptions(), 32, 4, 0.179, ())
        >>> made.markdown().splitlines()[0][:39]
        '| change | bits turned at most | by att'
    """

    run: str
    """Its folder."""
    options: CertifyOptions
    bits: int
    """Code length K."""
    radius: int
    """Largest distance that matches."""
    largest: float
    """The largest l2 norm within which any bit can be certified (`largest_radius`)."""
    rows: tuple[CertifiedRow, ...]
    left_out: tuple[str, ...] = ()
    """What was left out, and why."""

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "run": self.run,
            "options": asdict(self.options),
            "bits": self.bits,
            "radius": self.radius,
            "largest": self.largest,
            "rows": [row.to_json() for row in self.rows],
            "left_out": list(self.left_out),
        }

    def markdown(self) -> str:
        """The table, a norm a row, with what is certified and the signatures below it."""
        head = ["change", "bits turned at most", "by attack", "MAP at least"]
        head += ["MAP under attack at most", f"match at {self.radius} at least"]
        lines = [[*head, "match under attack at most"]]
        for row in self.rows:
            sides = [row.certified, row.attacked]
            bits = ["" if side is None else in_bits(side.bits) for side in sides]
            maps = ["" if side is None else interval(side.map) for side in sides]
            near = ["" if side is None else interval(side.match) for side in sides]
            lines.append([row.title, *bits, *maps, *near])
        asked = self.options
        said = (
            f"Certified is the majority of {asked.votes} copies with noise of deviation "
            f"{asked.sigma:g}, of {self.bits} bits, from {asked.samples} copies of each of "
            f"{asked.queries} queries. Any certified bit of a picture is wrong with a chance of "
            f"{asked.error:g} (samples) and {asked.miss:g} (vote, for each picture that is tried) "
            "at most. MAP and match in per cent; the truth lies between both columns. No bit is "
            f"certified beyond {self.largest:.3g}, whatever the network: larger norms say nothing."
        )
        numbers = [
            number
            for row in self.rows
            for side in (row.certified, row.attacked)
            if side is not None
            for number in (side.bits, side.map, side.match)
        ]
        text = aligned(lines) + f"\n{said}\n"
        text += "".join(f"\n{why}\n" for why in self.left_out)
        # The change stands in the first column.
        signatures = dict.fromkeys(
            re.sub(r"\|linf:[^|]*|\|l2:[^|]*", "", n.signature) for n in numbers
        )
        return text + "\n" * bool(signatures) + "".join(f"- `{one}`\n" for one in signatures)

    def figure(self) -> str:
        """Curves over the l2 norm as a whole SVG: MAP, match and the share of bits, both sides."""
        rows = [row for row in self.rows if row.norm == "l2"]
        curves = []
        for title, height in MEASURED:
            bounds = [(row.eps, height(row.certified, self.bits)) for row in rows]
            word = "at most" if title == "bits" else "at least"
            curves.append(curve_of(f"{title} {word}", bounds))
            reached = [(row.eps, height(row.attacked, self.bits)) for row in rows if row.attacked]
            curves += [curve_of(f"{title} under attack", reached)] if reached else []
        return curve_figure(
            curves, x_label="l2 norm of the change", y_label="Share", salt="certificate"
        )


MEASURED: tuple[tuple[str, Callable[[CertifiedSide, int], float]], ...] = (
    ("MAP", lambda side, _: side.map.value),
    ("match", lambda side, _: side.match.value),
    ("bits", lambda side, bits: side.bits.value / bits),
)
"""What is drawn: its name, and its height in [0, 1]."""


def in_bits(number: Measurement) -> str:
    """A number of bits with its interval."""
    if number.low is None or number.high is None:
        return f"{number.value:.1f}"
    return f"{number.value:.1f} [{number.low:.1f}, {number.high:.1f}]"


def curve_of(label: str, points: Sequence[tuple[float, float]]) -> Curve:
    """A curve through points."""
    return Curve(label, [x for x, _ in points], [y for _, y in points])
