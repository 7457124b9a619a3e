"""The steps of an audit over a run folder: train, encode, attack, report.

    run.json            what was asked, one section a step
    data.json           sizes and checksum of the data, and what the checks on loading saw
    model/              the checkpoint
    codes/              query.npz and database.npz: packed codes, labels, positions
    attacks/NAME/       one attack: its queries, PNGs, settings.json and evaluation.json
    report.html         the page

Each step can be killed at any moment; the same call goes on.
"""

from hashprobe.workflow.attacking import Protocol, attack_run
from hashprobe.workflow.encoding import encode_run
from hashprobe.workflow.finished import Finished, finished_attack, finished_attacks
from hashprobe.workflow.opening import Encoded, Victim, load_codes, open_victim
from hashprobe.workflow.reporting import report_run, report_table
from hashprobe.workflow.screen import Screen, Silence, Tick
from hashprobe.workflow.training import TRAIN_PRESETS, Network, train_run


__all__ = [
    "TRAIN_PRESETS",
    "Encoded",
    "Finished",
    "Network",
    "Protocol",
    "Screen",
    "Silence",
    "Tick",
    "Victim",
    "attack_run",
    "encode_run",
    "finished_attack",
    "finished_attacks",
    "load_codes",
    "open_victim",
    "report_run",
    "report_table",
    "train_run",
]
