"""Runs all campaigns one after the other: inputs, kills, disk steps, pairs and, in the long form,
lost workers.

`python campaigns` is the long form, `python campaigns --short` takes half a minute. Exits with 1 if
a goal of any of them is missed.
"""

import argparse
import sys
from pathlib import Path

import disk
import inputs
import kills
import pairs
import workers
from common import parser, scratch
from plans import States
from stage import build, warm


SHORT = {"inputs": 40, "kills": 3, "disk": 6, "pairs": 2}
"""Cases of each campaign in the short form."""
SHORT_PLANS = ("encode", "attack")
SHORT_PAIRS = ("encode+encode", "overwrite twice")


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__ or "", 0)
    options.add_argument("--short", action="store_true", help="a few cases of each")
    options.set_defaults(json=None)
    return options.parse_args()


def main() -> int:
    """Runs every campaign in one process, which imports everything once."""
    options = arguments()
    folder_of_json: Path | None = options.json
    warm()
    failed = 0
    with scratch(options.keep) as folder:
        stage, states = build(folder / "good"), States(folder / "undisturbed")
        for name, module in (
            ("inputs", inputs),
            ("kills", kills),
            ("disk", disk),
            ("pairs", pairs),
        ):
            own = argparse.Namespace(**vars(options))
            own.count = SHORT[name] if options.short else options.count or module.COUNT
            own.json = folder_of_json / f"{name}.json" if folder_of_json else None
            print(f"\n{name}: {own.count} cases", flush=True)
            where = folder / name
            where.mkdir()
            if module is inputs:
                failed |= inputs.run(own, stage, where)
            elif module is kills:
                failed |= kills.run(own, states, where, SHORT_PLANS if options.short else ())
            elif module is disk:
                failed |= disk.run(own, states, where, stage, SHORT_PLANS if options.short else ())
            else:
                failed |= pairs.run(own, states, where, SHORT_PAIRS if options.short else ())
        if not options.short:
            own = argparse.Namespace(**vars(options))
            own.count = options.count or workers.COUNT
            own.json = folder_of_json / "workers.json" if folder_of_json else None
            print(f"\nworkers: {own.count} cases", flush=True)
            (folder / "workers").mkdir()
            failed |= workers.run(own, folder / "workers")
    return failed


if __name__ == "__main__":
    sys.exit(main())
