"""hashprobe transfer"""

from pathlib import Path
from typing import Annotated

from hashprobe.cli.attack import AttackRuntime, BudgetFlags
from hashprobe.cli.flags import FLAT, Json, print_json
from hashprobe.cli.output import say
from hashprobe.workflow.protocol import Protocol


def transfer(
    *runs: Path,
    attack: str = "nag",
    budget: Annotated[BudgetFlags, FLAT] = BudgetFlags(),
    protocol: Annotated[Protocol, FLAT] = Protocol(),
    runtime: Annotated[AttackRuntime, FLAT] = AttackRuntime(),
    json_: Json = False,
) -> None:
    """Craft on each victim, show the pictures to all others, and print the matrix.

    Each source is steered to its own codes of the target label, each target is measured on its own
    database. From three runs on the ensemble of all others is a source, too, but not of attacks
    that need a database (pta, reach, sdha-targeted).

    Parameters
    ----------
    runs
        Two or more encoded runs on the same data, of the same picture size.
    attack
        A targeted attack by its name, with its default options: nag, bit-margin, dhta, tha, ...
    json_
        Print one JSON object and nothing else.
    """
    from hashprobe.attacks.registry import AttackSpec
    from hashprobe.cli.terminal import Terminal
    from hashprobe.workflow._transfer import transfer_runs

    spec = AttackSpec(attack, budget=budget.budget)
    result = transfer_runs(runs, spec, protocol=protocol, runtime=runtime.open(Terminal()))
    if json_:
        print_json(result.to_json())
        return
    say(str(result))
