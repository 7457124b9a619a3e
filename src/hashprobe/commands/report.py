"""hashprobe report"""

from pathlib import Path


def report(
    run: Path,
    /,
    *,
    out: Path | None = None,
    examples: int = 8,
    attack: str | None = None,
) -> None:
    """Write a run's report as one HTML page that needs nothing beside it.

    Parameters
    ----------
    run
        The run folder; it must be encoded.
    out
        The page; by default report.html in the run folder.
    examples
        Queries shown with their results before and after.
    attack
        Folder name of the attack whose curves and examples are shown; by default the strongest.
    """
    from hashprobe.commands.screen import Terminal
    from hashprobe.workflow import report_run

    where = report_run(run, out=out, examples=examples, attack=attack, screen=Terminal())
    print(f"report: {where}")
