"""Orderings that papers claim, on the attacks of the leaderboard that are kept in a run.

    python benchmarks/orderings.py RUN [RUN ...] [--eps 2 8] [--queries 100] [--seed 0] [--attack]
    python benchmarks/orderings.py RUN [RUN ...] --folders ONE OTHER

With --attack, what the claims need is attacked before: each baseline with the step size that is the
best of four on ten other queries, as `hashprobe leaderboard` has it, which may come before in place
of it. Differences are paired. A claim holds where its interval lies on its side of 0, and does not
hold where it lies on the other. Two folders below attacks/ are compared as they are: is the one
above the other in t-MAP? They must be of the same queries and target labels.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from hashprobe.crafting.attack_result import AttackResult
from hashprobe.evaluation.measurement import Measurement, paired_difference
from hashprobe.evaluation.measures import score_average_precision
from hashprobe.evaluation.ranking import Ranking
from hashprobe.types import Budget, Runtime
from hashprobe.workflow import board_protocol
from hashprobe.workflow._leaderboard import Case, rows_of
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.run_io import EncodedRun, open_run


CLAIMS = (
    ("dhta", "p2p", "t-MAP", 1, "DHTA above P2P (DHTA, tables 1 and 2)"),
    ("dhta", "feature", "t-MAP", 1, "DHTA above the feature attack (DHTA, table 9)"),
    ("tha", "dhta", "t-MAP", 1, "THA above DHTA (SAAT's release; TTA-GAN, supplement)"),
    ("mainstay-targeted", "dhta", "t-MAP", 1, "SAAT above DHTA (SAAT's release)"),
    ("mainstay-targeted", "tha", "t-MAP", 1, "SAAT above THA (SAAT's release)"),
    ("mainstay", "hag", "MAP", -1, "SAAT below HAG (SAAT, table II)"),
    ("mainstay", "sdha", "MAP", -1, "SAAT below SDHA (SAAT, table II)"),
    ("sdha", "hag", "MAP", -1, "SDHA below HAG (SAAT, table II)"),
    ("bit-margin", "dhta", "t-MAP", 1, "the default above DHTA (hashprobe)"),
    ("reach", "bit-margin", "t-MAP", 1, "reach above the default (hashprobe; it knows more)"),
)


def measured(
    run: EncodedRun, attack: str, eps: int, asked: argparse.Namespace
) -> dict[str, Measurement]:
    """MAP and t-MAP of a kept attack, query by query."""
    protocol = Protocol(
        queries=asked.queries, seed=asked.seed, top=board_protocol.protocol_of(run).top
    )
    if attack in board_protocol.OWN:
        settings = [board_protocol.own(attack)]
    else:  # tuned, if that is not what was released
        first = board_protocol.first_tried(attack, Budget(eps / 255))
        settings = [first, board_protocol.released(attack)]
    names = [board_protocol.row_folder(each, eps, protocol) for each in settings]
    folders = [run.run.path / "attacks" / name for name in names]
    folder = next((each for each in folders if each.is_dir()), folders[-1])
    return scored(run, AttackResult.load(folder), protocol)


def paired(run: EncodedRun, folders: list[str]) -> list[AttackResult]:
    """Two kept attacks; refuses those of other queries or target labels."""
    both = [AttackResult.load(run.run.path / "attacks" / each) for each in folders]
    for part in ("query_ids", "target_labels"):
        one, other = (getattr(each, part) for each in both)
        if not np.array_equal(one, other):
            raise SystemExit(f"{' and '.join(folders)} have other {part}: nothing is paired")
    return both


def scored(run: EncodedRun, kept: AttackResult, protocol: Protocol) -> dict[str, Measurement]:
    """MAP and t-MAP of a kept attack, query by query."""
    place = {int(position): row for row, position in enumerate(run.query.positions)}
    own = run.query.labels[np.array([place[int(each)] for each in kept.query_ids])]
    found = {}
    for name, labels in (("MAP", own), ("t-MAP", kept.target_labels)):
        ranking = Ranking(kept.codes, run.database.codes, labels, run.database.labels)
        found[name] = score_average_precision(name, ranking, protocol.measures(), "uint8")
    return found


def attack_all(run: EncodedRun, eps: int, asked: argparse.Namespace) -> None:
    """Attacks with everything that the claims compare; what is finished stays."""
    runtime = Runtime(precision=asked.precision)
    case = Case.of(run, asked.queries, asked.tuning, asked.seed, runtime)
    for attack in dict.fromkeys(name for claim in CLAIMS for name in claim[:2]):
        for row, _ in rows_of(case, attack, eps):
            line = f"{attack}, {row.setting}, at {eps}/255: {row.seconds:.2f} s a query"
            print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--eps", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folders", nargs=2, metavar=("ONE", "OTHER"))
    parser.add_argument("--attack", action="store_true")
    parser.add_argument("--tuning", type=int, default=10)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    asked = parser.parse_args()
    print("| victim | eps | claim | measure | the one | the other | difference | verdict |")
    print("|---|---|---|---|---|---|---|---|")
    for path in asked.runs:
        run = open_run(path)
        if asked.folders:
            protocol = Protocol(top=board_protocol.protocol_of(run).top)
            both = [scored(run, each, protocol)["t-MAP"] for each in paired(run, asked.folders)]
            claim = f"{asked.folders[0]} above {asked.folders[1]}"
            print(f"| {path.name} | | {claim} | t-MAP | {said(*both, 1)} |", flush=True)
            continue
        for eps in asked.eps:
            if asked.attack:
                attack_all(run, eps, asked)
            for one, other, measure, side, claim in CLAIMS:
                both = [measured(run, each, eps, asked)[measure] for each in (one, other)]
                line = f"| {path.name} | {eps}/255 | {claim} | {measure} | {said(*both, side)} |"
                print(line, flush=True)


def said(first: Measurement, second: Measurement, side: int) -> str:
    """Both numbers, their difference and the verdict, as cells."""
    less = paired_difference(first, second)
    numbers = " | ".join(f"{100 * each.value:.1f}" for each in (first, second))
    if less.low is None:
        return f"{numbers} | {100 * less.value:+.1f} | too few queries"
    ends = sorted((side * less.low, side * less.high))
    verdict = "holds" if ends[0] > 0 else "does not hold" if ends[1] < 0 else "open"
    interval = f"{100 * less.value:+.1f} [{100 * less.low:+.1f}, {100 * less.high:+.1f}]"
    return f"{numbers} | {interval} | {verdict}"


if __name__ == "__main__":
    main()
