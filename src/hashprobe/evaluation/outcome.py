"""What an attack achieved, in one record that prints itself and goes into a file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import PurePath
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
import numpy as np

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement
from hashprobe.evaluation.perceptibility import Perceptibility
from hashprobe.storage.files import write_json
from hashprobe.storage.records import as_record


TOGETHER = (
    ("map_clean", "map_attacked"),
    ("floor", "achieved", "lift"),
    ("wrong_clean", "wrong"),
)
"""Parts of an evaluation that are known together or not at all."""


class MeasurementPart(TypedDict):
    """What a file holds of a measurement.

    Example:
        >>> sorted(MeasurementPart.__required_keys__)[:3]
        ['confidence', 'high', 'low']
    """

    value: float
    low: float | None
    high: float | None
    signature: str
    confidence: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    per_query: Annotated[list[float | None], msgspec.Meta(min_length=1)]


class PerceptibilityPart(TypedDict):
    """What a file holds of how visible an attack is; None is an infinite PSNR.

    Example:
        >>> PerceptibilityPart(rmse=0.01, linf_255=8.0, psnr=None, ssim=0.9)["linf_255"]
        8.0
    """

    rmse: float
    linf_255: float
    psnr: float | None
    ssim: float
    rmse_frames: NotRequired[float | None]


@checked
@dataclass(frozen=True, eq=False)
class AfterCodec:
    """Codes of Q clips that a video codec has compressed.

    Example:
        >>> codes = PackedCodes.from_signs(np.ones((1, 8)))
        >>> AfterCodec("h264-crf23", attacked=codes, query=codes).name
        'h264-crf23'
    """

    name: str
    """Codec and its setting, for the signature."""
    attacked: PackedCodes
    """Q codes of the attacked queries, rounded to 8 bits, encoded and decoded."""
    query: PackedCodes
    """Q codes of the clean queries, encoded and decoded in the same way."""


@checked
@dataclass(frozen=True, eq=False)
class AttackCodes:
    """The codes of one attack on Q queries.

    Raises:
        HashprobeError: the numbers of codes differ.

    Example:
        >>> codes = PackedCodes.from_signs(np.ones((2, 12)))
        >>> AttackCodes(query=codes, attacked=codes).target is None
        True
    """

    query: PackedCodes
    """Q codes of the clean queries."""
    attacked: PackedCodes
    """Q codes of the attacked queries, their pixels rounded to 8 bits."""
    target: PackedCodes | None = None
    """Q target codes that the attack was given; None for an untargeted attack."""
    attacked_float: PackedCodes | None = None
    """Q codes of the attacked queries before rounding; None if not kept."""
    after_codec: AfterCodec | None = None
    """Codes after a video codec; None without one."""

    def __post_init__(self) -> None:
        sets = {
            "target": self.target,
            "attacked": self.attacked,
            "attacked float": self.attacked_float,
        }
        if self.after_codec is not None:
            sets["attacked codec"] = self.after_codec.attacked
            sets["query codec"] = self.after_codec.query
        for name, codes in sets.items():
            if codes is not None and len(codes) != len(self.query):
                raise HashprobeError(f"{len(codes)} {name} codes for {len(self.query)} query codes")


@checked
@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an attack on Q queries achieved, and the least and most it could have achieved.

    A part that is not known is None: an untargeted attack has no target, labels may be missing,
    results before rounding (`_float`) and after a video codec (`_codec`) may not exist. `print`
    shows the parts that are known. `to_json` and `from_json` write and read a file.

    Example:
        >>> from hashprobe.codes.labelled import Codes
        >>> from hashprobe.evaluation.scoring import evaluate_attack
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> database = Codes.of(codes, [0, 1])
        >>> attack = AttackCodes(query=codes[:1], attacked=codes[1:])
        >>> print(evaluate_attack(attack, database, query_labels=[0]))
        MAP clean                      1.000 (too few queries for an interval)
        MAP attacked                   0.500 (too few queries for an interval)
        signature                      MAP@all|norm:hits|ties:stable|empty:zero|...
    """

    map_clean: Measurement | None = None
    """MAP of the clean queries, by their own labels."""
    map_attacked: Measurement | None = None
    """MAP of the attacked queries, by their own labels."""
    floor: Measurement | None = None
    """t-MAP of the clean queries: what doing nothing gives."""
    achieved: Measurement | None = None
    """t-MAP of the attacked queries."""
    ceiling: Measurement | None = None
    """t-MAP of the target codes themselves: what reaching every bit gives."""
    lift: Measurement | None = None
    """achieved - floor, with a paired interval; empty queries count zero under every policy."""
    wrong_clean: Measurement | None = None
    """Bits in which the clean query differs from its target code, of K."""
    wrong: Measurement | None = None
    """Bits in which the attacked query still differs from its target code, of K."""
    achieved_float: Measurement | None = None
    """`achieved` before rounding."""
    wrong_float: Measurement | None = None
    """`wrong` before rounding."""
    perceptibility: Perceptibility | None = None
    """How visible the attack is."""
    perceptibility_float: Perceptibility | None = None
    """`perceptibility` before rounding."""
    achieved_codec: Measurement | None = None
    """`achieved` after a video codec."""
    wrong_codec: Measurement | None = None
    """`wrong` after a video codec."""
    map_codec: Measurement | None = None
    """`map_clean` after the same codec: what the codec alone does."""
    achieved_runs: Measurement | None = None
    """`achieved` over repeated runs: their mean, and where another run would lie."""
    map_runs: Measurement | None = None
    """`map_attacked` over repeated runs."""

    def __str__(self) -> str:
        """The known parts, one a line, the signatures last."""
        measured: tuple[tuple[str, Measurement | None], ...] = (
            ("t-MAP after 8 bits", self.achieved),
            ("t-MAP before rounding", self.achieved_float),
            ("t-MAP clean (floor)", self.floor),
            ("t-MAP target codes (ceiling)", self.ceiling),
            ("t-MAP, between runs", self.achieved_runs),
            ("lift", self.lift),
            ("MAP clean", self.map_clean),
            ("MAP attacked", self.map_attacked),
            ("MAP attacked, between runs", self.map_runs),
            ("bits wrong clean", self.wrong_clean),
            ("bits wrong attacked", self.wrong),
            ("t-MAP after the codec", self.achieved_codec),
            ("bits wrong after the codec", self.wrong_codec),
            ("MAP clean after the codec", self.map_codec),
        )
        lines = [(label, str(value)) for label, value in measured if value is not None]
        if self.perceptibility is not None:
            lines.append(("perceptibility", str(self.perceptibility)))
        for label, signed in (
            ("signature", self.achieved or self.map_attacked or self.wrong),
            ("signature after the codec", self.achieved_codec or self.map_codec),
        ):
            if signed is not None:
                lines.append((label, signed.signature))
        return "\n".join(f"{label:30} {text}" for label, text in lines)

    def save(self, path: str | PurePath) -> None:
        """Writes the evaluation to a JSON file that appears whole or not at all.

        Args:
            path: the file to make or replace, such as `evaluation.json`.

        Raises:
            HashprobeError: the file cannot be written.

        Example:
            >>> import tempfile
            >>> from pathlib import Path
            >>> from hashprobe.storage.files import read_json
            >>> done = Evaluation(wrong_clean=Measurement.of(np.ones(2), "wrong bits"),
            ...                   wrong=Measurement.of(np.zeros(2), "wrong bits"))
            >>> path = Path(tempfile.mkdtemp()) / "evaluation.json"
            >>> done.save(path)
            >>> Evaluation.from_json(read_json(path)).wrong.value
            0.0
        """
        write_json(path, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The known parts as JSON, measurements with the value of every query.

        Returns:
            A dictionary of numbers, strings, lists and None, in strict JSON.
        """
        result: dict[str, Any] = {}
        for field in fields(Evaluation):
            value = getattr(self, field.name)
            if isinstance(value, Measurement):
                queries = [None if np.isnan(v) else v for v in value.per_query.tolist()]
                extra = {"confidence": value.confidence, "per_query": queries}
                result[field.name] = {**value.to_json(), **extra}
            elif value is not None:
                result[field.name] = value.to_json()
        return result

    @classmethod
    def from_json(cls, record: Any) -> Evaluation:
        """Reads what `to_json` gave.

        Raises:
            HashprobeError: a part is missing, unknown or of another type.
        """
        parts: dict[str, Any] = {}
        try:
            as_record(record, dict[str, dict[str, Any]])
            for name, value in record.items():
                if name.startswith("perceptibility"):
                    as_record(value, PerceptibilityPart, name)
                    parts[name] = Perceptibility.from_json(value)
                    continue
                as_record(value, MeasurementPart, name)
                queries = [np.nan if v is None else v for v in value["per_query"]]
                per_query = np.array(queries, dtype=np.float64)
                parts[name] = Measurement(**{**value, "per_query": per_query})
            check_together(parts)
            return cls(**parts)
        except (HashprobeError, KeyError, TypeError) as error:
            reason = str(error).replace("\n", " ")
            raise HashprobeError(f"this is not an evaluation of an attack: {reason}") from error


def check_together(parts: dict[str, Any]) -> None:
    """Raises a KeyError for a record without a measurement or with only some of a group."""
    if not any(name in parts for group in TOGETHER for name in group):
        raise KeyError("it holds no measurement")
    for group in TOGETHER:
        missing = [name for name in group if name not in parts]
        if missing and len(missing) < len(group):
            raise KeyError(f"it lacks {', '.join(missing)}")
