"""hashprobe report"""

from pathlib import Path
from typing import Any

from hashprobe.cli.flags import Flag
from hashprobe.cli.output import say


def report(
    run: Path,
    /,
    *,
    out: Path | None = None,
    examples: int = 8,
    attack: str | None = None,
    markdown: Flag = False,
    exclude_voters: Flag = False,
    exclude_training: Flag = False,
) -> None:
    """Write a run's report as one self-contained HTML page.

    Parameters
    ----------
    run
        The run folder; it must be encoded, and an attack on it finished.
    out
        The page; by default report.html in the run folder.
    examples
        Queries shown with their results before and after the attack.
    attack
        Folder name of the attack whose curves and examples are shown; by default the strongest.
    markdown
        Only print the table of all attacks as Markdown.
    exclude_voters
        Measure every attack again without the database items whose codes voted for its targets.
    exclude_training
        Measure every attack again without the training items that stand in the database.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.workflow.report_step import report_run, report_table

    left_out: dict[str, Any] = {
        "exclude_voters": exclude_voters,
        "exclude_training": exclude_training,
    }
    if markdown:
        say(report_table(run, **left_out), end="")
        return
    where = report_run(
        run, out=out, examples=examples, attack=attack, progress=Terminal(), **left_out
    )
    say(f"report: {where}")
