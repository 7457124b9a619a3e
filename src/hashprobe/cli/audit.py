"""hashprobe audit"""

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token

from hashprobe.cli.check import StoredFlags
from hashprobe.cli.cluster import ClusterFlags
from hashprobe.cli.flags import FLAT, Flag, Json, print_json
from hashprobe.cli.output import say
from hashprobe.cli.victim_flags import VictimFlags
from hashprobe.errors import HashprobeError
from hashprobe.workflow.audit_options import (
    GOAL_OF,
    GOALS,
    LEVELS,
    Access,
    AuditFiles,
    AuditGoal,
    AuditOptions,
    Limit,
    Rerank,
)


EXCEEDED = 3
"""Exit code where a limit is exceeded."""
FRACTION = re.compile(r"(\d+(?:\.\d+)?)(?:/(\d+))?\Z")


def parse_budgets(_: Any, tokens: Sequence[Token]) -> tuple[float, ...]:
    """Budgets with commas: 1/255,2/255 or 0.01.

    Example:
        >>> parse_budgets(tuple, (Token(value="1/255,0.5"),))
        (0.00392156862745098, 0.5)
    """
    found = []
    for part in ",".join(token.value for token in tokens).split(","):
        match = FRACTION.match(part.strip())
        if match is None or (match[2] is not None and not int(match[2])):
            raise ValueError(f"must be budgets with commas, such as 1/255,2/255; got {part!r:.80}")
        found.append(float(match[1]) / float(match[2] or 1))
    return tuple(found)


def parse_radius(_: Any, tokens: Sequence[Token]) -> int | str:
    """A whole number, or auto."""
    text = tokens[0].value
    if text == "auto":
        return text
    if not text.isdecimal() or len(text) > 6:
        raise ValueError(f"must be a whole number, or auto; got {text!r:.80}")
    return int(text)


def parse_goals(_: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    """Names of goals with commas."""
    names = tuple(part.strip() for token in tokens for part in token.value.split(","))
    odd = [name for name in names if name not in GOALS]
    if odd:
        raise ValueError(f"must be goals with commas, of {', '.join(GOALS)}; got {odd[0]!r:.80}")
    return names


@dataclass(frozen=True)
class AuditFlags:
    """What is measured."""

    radius: Annotated[Any, Parameter(converter=parse_radius, n_tokens=1)] = None
    """Largest Hamming distance that matches; auto takes the largest with the false-match rate of
    --fpr. By default 31 for pdq, 10 for other perceptual hashes, auto for networks."""
    fpr: float = 1e-6
    """The wanted false-match rate, for --radius auto: the share of pairs of different pictures."""
    top: int = 10
    """Length of a result list."""
    eps: Annotated[
        tuple[float, ...],
        Parameter(
            converter=parse_budgets,
            n_tokens=1,
            negative=(),
            show_default=lambda _: "1/255,2/255,4/255,8/255",
        ),
    ] = LEVELS
    """Budgets with commas, in [0, 1] units: how far a pixel may move."""
    steps: int = 50
    """Gradient steps of each attack at each budget."""
    goals: Annotated[
        tuple[AuditGoal, ...] | None,
        Parameter(converter=parse_goals, n_tokens=1, negative=(), show_choices=False),
    ] = None
    """What the adversary wants, with commas: evade (no match with the own source), collide (a match
    with another item), enter (a match with --block-list), show (the results of another label); by
    default what the data allow."""
    count: int = 100
    """Most queries, evenly spread over those in the folder; 0 takes all."""
    seed: int = 0
    """Decides on which item each query is to collide with."""
    exact: bool = True
    """Find the smallest budget of each query between those of --eps, too."""
    edits: bool = True
    """Measure benign edits."""
    mitigate: Flag = False
    """Measure remedies that need no training, each attacked by an adversary who knows it."""
    rerank: Rerank = "none"
    """cosine: a short list by codes is ordered anew by the cosine of floats, those before the
    binariser or those stored with the codes; attacked on all bits, and on bits and cosine."""
    oversample: int = 4
    """How many times longer than --top the short list is."""
    access: Access = "white"
    """white: the adversary has the network; query: it sees the answers of the search alone."""
    query_budget: int = 5000
    """Searches that an adversary with query access may make for a picture."""
    distances: bool = True
    """The answers of a search hold distances; --no-distances: only ids in their order."""
    examples: int = 4
    """Attacked pictures on the page."""

    def options(self) -> AuditOptions:
        """The options."""
        return AuditOptions(**vars(self))


@dataclass(frozen=True)
class FileFlags(StoredFlags):
    """What is read beside the queries and the database."""

    labels: Path | None = None
    """A CSV file of queries and items with a column id, and a column group (the source picture), a
    column label, or columns of 0 and 1, a label each."""
    block_list: str | None = None
    """Codes that an adversary wants to enter: a file of codes, or a folder of pictures."""
    item: str | None = None
    """Id of the database item that every query is to collide with; by default a random one each."""
    show_label: str | None = None
    """The label whose items queries are to lead to; by default a random other one each."""
    surrogate: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = ()
    """Another victim, by which an adversary without access crafts pictures; with --access query it
    also goes on by queries from these. May be repeated."""
    second_hash: str | None = None
    """With --mitigate: another victim that must agree on a match; by default phash, or pdq for
    phash."""
    second_radius: int | None = None
    """Largest distance at which the second hash matches; by default the usual one of a perceptual
    hash."""
    hardened: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = ()
    """A hardened network that could take the victim's place (hashprobe harden): weights.safetensors
    with its YAML file, or a run folder. It encodes the pictures of the database anew, and is
    attacked with its own gradients. May be repeated."""

    def files(self) -> AuditFiles:
        """The files."""
        return AuditFiles(
            labels=self.labels,
            block_list=self.block_list,
            item=self.item,
            label=self.show_label,
            surrogates=self.surrogate,
            second_hash=self.second_hash,
            second_radius=self.second_radius,
            hardened=self.hardened,
            convention=self.convention(),
        )


RUNTIME = ("workers", "batch_size", "device", "skip_bad")
"""The options that are fields of `Runtime`."""


@dataclass(frozen=True)
class AuditRuntime(ClusterFlags):
    """How it is computed."""

    workers: int | None = None
    """Decoding processes; by default one for four cores."""
    batch_size: int | None = None
    """Queries in the network at once; by default as memory allows."""
    device: str = "auto"
    """auto (the GPU if there is one), cpu, cuda, cuda:1, ..."""
    skip_bad: Flag = False
    """Leave out pictures that cannot be decoded, and say how many."""


def audit(
    *,
    victim: str,
    queries: Path,
    database: str | None = None,
    out: Path = Path("audit"),
    fail_above: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    what: Annotated[AuditFlags, FLAT] = AuditFlags(),
    files: Annotated[FileFlags, FLAT] = FileFlags(),
    network: Annotated[VictimFlags, FLAT] = VictimFlags(),
    runtime: Annotated[AuditRuntime, FLAT] = AuditRuntime(),
    json_: Json = False,
) -> None:
    """Measure what an adversary can do to a network, or a perceptual hash, and its database.

    Queries are matched within a radius before and after attacks. The page, the record and the
    tables go to --out: report.html, audit.json, report.md. The same command resumes an audit that
    was stopped. The exit code is 3 where a limit of --fail-above is exceeded.

    Parameters
    ----------
    victim
        pdq, phash, dhash or ahash; or the network: a .pt2, TorchScript or .onnx file, weights with
        --backbone, package:factory, or a run folder.
    queries
        A folder of pictures, at any depth.
    database
        What is searched: a file of codes (.npy, .npz, faiss, CSV or JSONL of hexadecimal hashes),
        a folder of files NAME.codes.npy (packed uint8), of which a part is in memory at a time, an
        address of Postgres, a folder of pictures, or copies, for edited copies of the queries; by
        default the queries themselves.
    out
        Folder for the results; finished work is kept there.
    fail_above
        A limit such as evasion@10=0.05, at the largest budget; may be repeated. Measures are
        evasion, collision, hit and false-match.
    json_
        Print the record of audit.json and nothing else.
    """
    limits = [Limit.read(text) for text in fail_above]
    options = what.options()
    for limit in limits:
        options = options.at_limit(limit)
        goal = GOAL_OF.get(limit.name)
        if goal is not None and not options.wants(goal):
            raise HashprobeError(
                f"a limit of {limit.name} needs the goal {goal}: add it to --goals"
            )
        if limit.name == "hit" and files.block_list is None:
            raise HashprobeError("a limit of hit needs a list to enter: give --block-list")
    from hashprobe.cli.terminal import Terminal
    from hashprobe.types import Runtime
    from hashprobe.victims.loading import load_victim
    from hashprobe.workflow._audit import audit as run_audit

    known = {name: getattr(runtime, name) for name in RUNTIME}
    result = run_audit(
        load_victim(victim, network.options()),
        queries,
        database,
        options=options,
        files=files.files(),
        out=out,
        runtime=Runtime(**known, executor=runtime.cluster(), progress=Terminal()),
        command=shlex.join(["hashprobe", *sys.argv[1:]]),
    )
    if json_:
        print_json(result.to_json())
    else:
        say(str(result))
        say(f"\nreport: {out / 'report.html'}")
    for text in (over := result.exceeded(limits)):
        say(text, error=True)
    if over:
        sys.exit(EXCEEDED)
