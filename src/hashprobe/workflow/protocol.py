"""Which queries are attacked, and how that is scored; imports no torch."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from hashprobe.attacks.contract import Attack
from hashprobe.attacks.targets import TargetCode
from hashprobe.data.crf import CRF, check_crf
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.ranking import Empty, Normaliser, Ties
from hashprobe.types import check_seed, check_whole


@dataclass(frozen=True)
class Protocol:
    """Which queries are attacked, with which targets, and how that is scored.

    Raises:
        HashprobeError: a number out of range, options of a measure that do not go together, or a
            crf without a codec.

    Example:
        >>> Protocol(queries=20).pool
        'differs'
    """

    queries: int = 100
    """Queries drawn at random from the query split; source: DHTA, section 4.2."""
    seed: int = 0
    """Seed of queries, target labels, target codes and noise. Attacks with the same seed have the
    same queries and targets."""
    pool: Literal["differs", "disjoint", "unseen"] = "differs"
    """Where target labels come from: differs (another label vector than the query's), disjoint (no
    label in common), or unseen (classes that the network never saw; data with --unseen)."""
    target: str | None = None
    """Name of one target label for all queries; by default each query draws its own."""
    minimum: int = 9
    """Fewest database items that a target label must have."""
    target_code: TargetCode | None = None
    """Which code stands for a target label: vote (of n_t codes), vote-all, mean-difference,
    weighted, best, ascent, prototype (THA), pairwise-prototype (ProS-GAN) or importance (TTA-GAN);
    by default the attack's own, vote for most. All but vote know codes and labels of the whole
    database, and signatures say so."""
    knows: int | None = None
    """Database items that the adversary knows with their labels, drawn at random (target codes
    other than vote, and attacks that need a database); by default all."""
    top: int | None = None
    """List length T of MAP and t-MAP; by default the whole database."""
    normaliser: Normaliser = "hits"
    """What AP divides by: hits in the list (the field's), min(R, T), or R."""
    ties: Ties | None = None
    """Order at equal distance; by default stable with hits, expected with the others."""
    empty: Empty = "zero"
    """How a query without a hit is counted: as zero, not at all (skip), or as an error."""
    exclude_voters: bool = False
    """Leave out of the search, for each query, the database items whose codes voted for its target
    code."""
    exclude_training: bool = False
    """Leave the training items that stand in the database out of the search."""
    codec: Literal["none", "h264"] = "none"
    """h264 also judges adversarial and untouched clips after they were saved as an H.264 video file
    (videos only)."""
    crf: int = CRF
    """H.264's constant rate factor, from 0 (finest) to 51 (coarsest)."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_whole("queries", self.queries)
        check_whole("minimum", self.minimum)
        if self.knows is not None:
            check_whole("knows", self.knows)
        self.measures()  # refused before anything is computed
        check_crf(self.crf)
        if self.codec == "none" and self.crf != CRF:
            raise HashprobeError(
                f"crf {self.crf} has no effect without codec h264: add --codec h264"
            )

    def measures(self) -> MeasureOptions:
        """How MAP and t-MAP are computed."""
        return MeasureOptions(self.top, self.normaliser, self.ties, self.empty)

    def to_json(self) -> dict[str, Any]:
        """What goes into files: the options by name, those of codec and exclusion only if used.

        Files of attacks without them are the same as before they existed.
        """
        kept = asdict(self)
        if self.codec == "none":
            del kept["codec"], kept["crf"]
        for name in ("exclude_voters", "exclude_training", "target_code", "knows"):
            if not kept[name]:
                del kept[name]
        return kept

    def code_of(self, options: Any) -> str:
        """Which target code an attack with such options aims at."""
        own: str = getattr(options, "code", "vote")
        return self.target_code or own

    def knowledge(self, options: Any) -> str | None:
        """What signatures say of the target codes; None for the vote of n_t codes, as ever.

        Example:
            >>> Protocol(target_code="ascent").knowledge(None)
            'ascent.L2'
        """
        code = self.code_of(options)
        return None if code == "vote" else f"{code}.{self.sample}"

    def level(self, attack: Attack, options: Any) -> str:
        """What an attack takes of the database; nothing for one that knows none of it.

        L0: the codes of n_t items that vote; L1-N: N labelled items; L2: all codes with labels.

        Example:
            >>> from hashprobe.attacks import ATTACKS
            >>> [Protocol(knows=40).level(ATTACKS[name], ATTACKS[name].options())
            ...  for name in ("dhta", "tha", "pta", "prosgan")]
            ['vote.L0', 'prototype.L1-40', 'database.L1-40', 'pairwise-prototype.L1-40+pictures']
        """
        targeted = attack.goal == "targeted"
        code = self.knowledge(options) if targeted else None
        if code is not None:
            return code + "+pictures" * ("generator" in attack.needs)
        # PTA and the attacks away from a label need the database though they aim at no code.
        if "database" in attack.needs:
            return f"database.{self.sample}"
        return "vote.L0" if targeted else ""

    @property
    def sample(self) -> str:
        """How much of the database is known where a vote is not enough."""
        return "L2" if self.knows is None else f"L1-{self.knows}"
