"""Two trainings against attacks over several seeds, the queries of all seeds together.

    python benchmarks/defences.py --runs none-{seed} p2s-{seed} saat-{seed} --seeds 0 1 2

The first run of a seed is the undefended one. Each seed goes through `hashprobe compare` with its
own queries; what that keeps in the runs is not attacked again. The difference is that of the last
two runs, query by query. With --quick a run meets the shorter attacks alone, without further
starts: what settings were chosen by. With --all-but SEED COUNT it is asked with every query that
such a choice did not use; a query then counts once, as its mean over the seeds.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import Results, interval

from hashprobe.attacks.registry import DEFAULT
from hashprobe.evaluation.measurement import Measurement
from hashprobe.types import Runtime
from hashprobe.workflow.compare_attacks import Bench, steps_text
from hashprobe.workflow.compare_behind import open_behind, with_own_codes
from hashprobe.workflow.compare_step import compare_runs
from hashprobe.workflow.comparison import Compared, CompareOptions
from hashprobe.workflow.drawing import draw_queries
from hashprobe.workflow.protocol import Protocol


def measured(run: Compared) -> dict[str, Measurement]:
    """Every MAP and t-MAP of a run by its title."""
    found = {"MAP clean": run.clean, "MAP, each query at its worst": run.worst_by_query}
    for trial in run.trials:
        found[trial.title if trial.tmap is None else f"{trial.title}: MAP"] = trial.map
        found[f"{trial.title}: t-MAP"] = trial.tmap
    return {title: value for title, value in found.items() if value is not None}


def quickly(path: Path, options: CompareOptions) -> dict[str, Measurement]:
    """MAP of a run without an attack, under three attacks, and of each query at its worst; t-MAP
    under the shorter bit-margin attack."""
    victim = with_own_codes(open_behind(path), options, Runtime())
    bench = Bench(victim, options, Runtime())
    key, title, spec = next(one for one in bench.specs() if one[0] == "hag")
    hag = bench.attacked(key, spec)
    found = {"MAP clean": hag.map_clean, title: hag.map_attacked}
    away = bench.driven(bench.away, bench.margin(bench.budget, options.steps, 0))
    found[f"away, {steps_text(options.steps)}"] = bench.scored(away.codes)
    mainstay = bench.mainstay()
    found[mainstay.title] = mainstay.map
    lowest = np.min([value.per_query for title, value in found.items() if title != "MAP clean"], 0)
    worst = Measurement.of(lowest, f"worst {mainstay.map.signature}")
    found = {"MAP clean": found.pop("MAP clean"), "each query at its worst": worst, **found}
    key, title, spec = next(one for one in bench.specs() if one[0] == DEFAULT)
    steered = bench.attacked(key, spec).achieved
    return found if steered is None else {**found, f"{title}: t-MAP": steered}


def all_queries(run: Path) -> int:
    """How many queries a run has."""
    return len(open_behind(run).query)


def but(found: dict[str, Measurement], count: int, seed: int) -> dict[str, Measurement]:
    """Measures of all queries, without those that a seed draws."""
    available = len(found["MAP clean"].per_query)
    left = np.ones(available, bool)
    left[draw_queries(available, Protocol(queries=count, seed=seed))] = False
    return {
        title: Measurement.of(
            value.per_query[left],
            value.signature.replace(f"|q:{available}|", f"|q:{left.sum()}|"),
        )
        for title, value in found.items()
    }


def together(parts: list[Measurement], same: bool) -> Measurement:
    """The mean over the queries of all seeds; those of seeds with the same queries count once."""
    values = [part.per_query for part in parts]
    put = np.mean(values, 0) if same else np.concatenate(values)
    return Measurement.of(put, parts[0].signature)


def cell(parts: list[Measurement], same: bool) -> str:
    """The mean with its interval, and each seed by itself."""
    value = together(parts, same)
    ends = "" if value.low is None else f" [{100 * value.low:.1f}, {100 * value.high:.1f}]"
    return f"{100 * value.value:.1f}{ends} ({' / '.join(f'{100 * p.value:.1f}' for p in parts)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", nargs="+", required=True, help="folders, with {seed} in each")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--more-steps", type=int, default=50)
    parser.add_argument("--query-budget", type=int, default=300)
    parser.add_argument("--eps", type=float, default=8, help="in 255ths")
    parser.add_argument("--top", type=int)
    parser.add_argument("--quick", action="store_true", help="the shorter attacks alone")
    parser.add_argument(
        "--all-but", type=int, nargs=2, metavar=("SEED", "COUNT"),
        help="every query, without those that settings were chosen by",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="where the numbers go as JSON")
    asked = parser.parse_args()
    seeds: list[list[dict[str, Measurement]]] = []
    for seed in asked.seeds:
        options = CompareOptions(
            eps=asked.eps / 255, queries=asked.queries, steps=asked.steps, restarts=1, seed=seed,
            more_steps=asked.more_steps, query_budget=asked.query_budget, top=asked.top,
            exclude_training=True, attacks=("hag",),
        )  # fmt: skip
        runs = [Path(name.format(seed=seed)) for name in asked.runs]
        if asked.all_but:
            available = all_queries(runs[0])
            if not 0 < asked.all_but[1] < available:
                parser.error(
                    f"--all-but leaves out 1 to {available - 1} of {available} queries; "
                    f"got {asked.all_but[1]}"
                )
            options = replace(options, queries=available)
        if asked.quick:
            found = [quickly(run, replace(options, restarts=0)) for run in runs]
        else:
            found = [measured(run) for run in compare_runs(runs, options, Runtime()).runs]
        if asked.all_but:
            chosen_by, count = asked.all_but
            found = [but(one, count, chosen_by) for one in found]
        seeds.append(found)
    same = bool(asked.all_but)
    names = [Path(name.format(seed="")).name.strip("-") for name in asked.runs]
    rows = []
    for title in dict.fromkeys(title for run in reversed(seeds[0]) for title in run):
        row = {"": title}
        for place, name in enumerate(names):
            if title in seeds[0][place]:
                row[name] = cell([of_seed[place][title] for of_seed in seeds], same)
        if len(names) > 1 and title in seeds[0][-2]:
            pairs = [(of_seed[-2][title], of_seed[-1][title]) for of_seed in seeds]
            one, other = (together([pair[at] for pair in pairs], same) for at in (0, 1))
            row[f"{names[-2]} less {names[-1]}"] = interval(one - other)
            by_seed = (100 * (first.value - second.value) for first, second in pairs)
            row["by seed"] = ", ".join(f"{value:.1f}" for value in by_seed)
        rows.append(row)
    results = Results("defences")
    results.table("MAP and t-MAP in per cent, all seeds together", rows)
    results.write(asked.json)


if __name__ == "__main__":
    main()
