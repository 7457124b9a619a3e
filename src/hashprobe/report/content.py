"""What a report is made of: frozen records of numbers and pictures, nothing that computes.

Measures are in [0, 1] here and in per cent on the page.
"""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from hashprobe.errors import HashprobeError


Picture: TypeAlias = UInt8[np.ndarray, "... 3 h w"]
"""RGB, 0 to 255, channels first: an image, (3, H, W), or frames of a clip, (n, 3, H, W), which are
shown side by side as a filmstrip."""
Kind = Literal["untouched", "noise", "attack"]


@runtime_checkable
class Number(Protocol):
    """A measured value with its interval and signature; evaluation's measurements are such.

    Example:
        >>> from types import SimpleNamespace
        >>> n = SimpleNamespace(value=0.8, low=0.7, high=0.9, signature="tMAP@all|v:0.1")
        >>> isinstance(n, Number)
        True
    """

    @property
    def value(self) -> float:
        """In [0, 1]."""

    @property
    def low(self) -> float | None:
        """Lower end of the interval, if there is one."""

    @property
    def high(self) -> float | None:
        """Upper end of the interval, if there is one."""

    @property
    def signature(self) -> str:
        """How it was computed; numbers with different signatures are not compared."""


@dataclass(frozen=True)
class AttackRow:
    """One line of the table: what one attack at one budget did to all queries.

    Raises:
        HashprobeError: a number is NaN (an infinite PSNR is fine: nothing changed).

    Example:
        >>> from types import SimpleNamespace
        >>> tmap = SimpleNamespace(value=0.82, low=0.8, high=0.84, signature="tMAP@1000|v:0.1")
        >>> AttackRow("DHTA", "attack", "8/255", tmap=tmap).lift is None
        True
    """

    name: str
    """As in its paper: Original, Noise, P2P, DHTA."""
    kind: Kind
    """`untouched` queries, random `noise`, or an `attack`."""
    budget: str = ""
    """As text, such as 8/255; empty for untouched queries."""
    tmap: Number | None = None
    """t-MAP of the 8-bit pictures."""
    tmap_runs: Number | None = None
    """Mean t-MAP over repeated runs, and where another run would lie."""
    tmap_float: Number | None = None
    """t-MAP of the same pictures before they were rounded to 8 bits."""
    floor: Number | None = None
    """t-MAP of the same queries untouched."""
    ceiling: Number | None = None
    """t-MAP of the target codes themselves."""
    lift: Number | None = None
    """t-MAP above that of the untouched queries."""
    own_map: Number | None = None
    """MAP for the queries' own labels, of the 8-bit pictures."""
    bits_wrong: Number | None = None
    """Mean number of bits in which the code differs from the target code, in 0..K."""
    bits_wrong_float: Number | None = None
    """The same before the pictures were rounded to 8 bits."""
    tmap_codec: Number | None = None
    """t-MAP of the same clips after H.264."""
    own_map_codec: Number | None = None
    """MAP for the queries' own labels of the untouched clips after the same H.264."""
    rmse: float | None = None
    """Mean over pictures of the root mean squared change, in [0, 1]."""
    rmse_float: float | None = None
    """The same before the pictures were rounded to 8 bits."""
    rmse_frames: float | None = None
    """Of clips the root mean squared change of the frames that were changed, in [0, 1]."""
    linf: float | None = None
    """Largest change of a value over all pictures, in 1/255."""
    psnr: float | None = None
    """Mean peak signal-to-noise ratio, in dB."""
    ssim: float | None = None
    """Mean structural similarity, at most 1."""
    steps: int | None = None
    """Optimisation steps per picture, on average."""
    seconds: float | None = None
    """What all pictures took together."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            inner = getattr(value, "value", value)
            if isinstance(inner, float) and math.isnan(inner):
                raise HashprobeError(f"{name} of {self.name} is NaN: it cannot be shown")


@dataclass(frozen=True)
class Curve:
    """A line in a figure.

    Raises:
        HashprobeError: x and y differ in length, are empty, or hold a NaN or an infinity.

    Example:
        >>> Curve("DHTA", [0.0, 1.0], [1.0, 0.5]).label
        'DHTA'
    """

    label: str
    x: Sequence[float] | np.ndarray
    """(n,): recall in [0, 1], or N."""
    y: Sequence[float] | np.ndarray
    """(n,): precision in [0, 1]."""
    signature: str = ""
    """How it was computed."""

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or len(self.x) == 0:
            raise HashprobeError(
                f"curve {self.label!r} needs as many x as y; got {len(self.x)} and {len(self.y)}"
            )
        if not (np.isfinite(self.x).all() and np.isfinite(self.y).all()):
            raise HashprobeError(f"curve {self.label!r} holds a number that is not finite")


@dataclass(frozen=True)
class Retrieved:
    """One search result.

    Example:
        >>> Retrieved(np.zeros((3, 8, 8), np.uint8), ("cat",), 3, own=True, target=False).distance
        3
    """

    image: Picture
    labels: tuple[str, ...]
    distance: int
    """Hamming distance to the query, in bits."""
    own: bool
    """Shares a label with the query."""
    target: bool
    """Shares a label with the target."""


@dataclass(frozen=True)
class Example:
    """One query before and after an attack.

    Raises:
        HashprobeError: the two pictures differ in shape.

    Example:
        >>> grey = np.full((3, 8, 8), 128, np.uint8)
        >>> Example("17", ("cat",), ("dog",), grey, grey, before=(), after=()).query
        '17'
    """

    query: str
    """Id of the query."""
    labels: tuple[str, ...]
    """The query's own labels."""
    targets: tuple[str, ...]
    """The labels that the attack aims at."""
    image: Picture
    """The untouched query."""
    adversarial: Picture
    """The attacked query, same shape."""
    before: tuple[Retrieved, ...]
    """First results for the untouched query, nearest first."""
    after: tuple[Retrieved, ...]
    """First results for the attacked query, nearest first."""
    note: str = ""
    """The attack and its budget, or how the query was chosen."""
    frames: tuple[int, ...] = ()
    """The frames of a clip that the two pictures show, counted from 1."""

    def __post_init__(self) -> None:
        if self.image.shape != self.adversarial.shape:
            raise HashprobeError(
                f"query {self.query}: untouched and attacked picture differ in shape; "
                f"got {self.image.shape} and {self.adversarial.shape}"
            )


@dataclass(frozen=True)
class ReportData:
    """Everything on the page; all but the title may be missing.

    Example:
        >>> ReportData("An audit").examples
        ()
    """

    title: str
    _: KW_ONLY
    facts: tuple[tuple[str, str], ...] = ()
    """Name and text: network, code, data, protocol; shown below the title."""
    bits: int | None = None
    """Length of a code, for the sentence about bits that are still wrong."""
    clean: Number | None = None
    """MAP of the untouched query split, the network's plain quality."""
    findings: tuple[str, ...] | None = None
    """Problems that the checks of the data found; None where the data were not checked."""
    by_design: tuple[str, ...] = ()
    """What the checks found and the protocol of the data intends."""
    rows: tuple[AttackRow, ...] = ()
    pr_curves: tuple[Curve, ...] = ()
    """x is recall."""
    precision_curves: tuple[Curve, ...] = ()
    """x is N, the length of the list."""
    examples: tuple[Example, ...] = ()
    choice: str = ""
    """How the examples were chosen, in one sentence."""
    confidence: float = 0.95
    """Share that every interval holds, in (0, 1)."""
    commands: tuple[str, ...] = ()
    """What to type to get this report again."""
    environment: tuple[tuple[str, str], ...] = ()
    """Name and text: versions, machine."""
    notes: tuple[str, ...] = ()
    """Sentences that help a reader with the numbers."""
    version: str = ""
    """Of hashprobe."""
    created: str = ""
    """When the run was made, as text."""
