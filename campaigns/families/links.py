"""Places where a command writes that lead elsewhere: nothing outside may change."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cases import Case, Ended, Wanted
from stage import NAMES, Stage, attack_words, train_words

from families.folders import link, pipe, plug


OVER = (*attack_words("run", "p2p"), "--overwrite", "--eps", "16/255", "--name", NAMES[1])
AGAIN = attack_words("run", "noise", "--name", "again")
SAME = attack_words("run", "p2p")
REPORT, ENCODE = ("report", "run"), ("encode", "run", "--workers", "0")


def both(*makes: Callable[[Path], object]) -> Callable[[Path], None]:
    """Several changes one after the other."""

    def make(work: Path) -> None:
        for each in makes:
            each(work)

    return make


def gone(name: str) -> Callable[[Path], object]:
    """Removes a file of the run, so that a command makes it again."""
    return lambda work: (work / "run" / name).unlink()


def moved(name: str) -> Callable[[Path], object]:
    """A part of the run lies outside, and a link leads there."""

    def make(work: Path) -> None:
        shutil.move(work / "run" / name, work / "mine" / "part")
        os.symlink("../" * (name.count("/") + 1) + "mine/part", work / "run" / name)

    return make


def device(name: str) -> Callable[[Path], object]:
    """A device node of one's own where that is permitted, else a pipe."""

    def make(work: Path) -> None:
        try:
            os.mknod(work / name, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        except PermissionError:
            os.mkfifo(work / name)

    return make


UNFINISHED = gone("codes/query.npz")
KNOWN: tuple[tuple[str, Callable[[Path], object], tuple[str, ...], Wanted], ...] = (
    ("the report goes into a pipe", pipe("target"), ("report", "run", "--out", "target"), "refused"),
    ("the report goes into a socket", plug("target"), ("report", "run", "--out", "target"), "refused"),
    ("the report goes into a device", device("target"), ("report", "run", "--out", "target"), "refused"),
    ("the report goes into a folder", lambda w: (w / "target").mkdir(), ("report", "run", "--out", "target"), "refused"),
    ("the report goes through a link", link("target", "mine/a.npz"), ("report", "run", "--out", "target"), "refused"),
    ("report.html links outside", both(gone("report.html"), link("run/report.html", "../mine/a.npz")), REPORT, "either"),
    ("report.html is a pipe", pipe("run/report.html"), REPORT, "refused"),
    ("query.parts links outside", both(UNFINISHED, link("run/codes/query.parts", "../../mine")), ENCODE, "refused"),
    ("database.parts links outside", link("run/codes/database.parts", "../../mine"), ENCODE, "either"),
    ("query.parts links outside, nothing to do", link("run/codes/query.parts", "../../mine"), ENCODE, "either"),
    ("codes links outside", moved("codes"), ENCODE, "either"),
    ("query.npz links outside", both(gone("codes/query.npz"), link("run/codes/query.npz", "../../mine/a.npz")), ENCODE, "either"),
    ("metrics.jsonl links outside", both(gone("metrics.jsonl"), link("run/metrics.jsonl", "../mine/notes.txt")), AGAIN, "refused"),
    ("metrics.jsonl is a pipe", pipe("run/metrics.jsonl"), AGAIN, "refused"),
    ("attacks links outside", moved("attacks"), AGAIN, "refused"),
    ("an attack links outside", moved(f"attacks/{NAMES[1]}"), OVER, "refused"),
    ("an attack links outside, the same again", moved(f"attacks/{NAMES[1]}"), SAME, "refused"),
    ("queries of an attack link outside", moved(f"attacks/{NAMES[1]}/queries"), OVER, "refused"),
    ("pictures of an attack link outside", moved(f"attacks/{NAMES[1]}/png"), OVER, "refused"),
    ("attack.json links outside", both(gone(f"attacks/{NAMES[1]}/attack.json"), link(f"run/attacks/{NAMES[1]}/attack.json", "../../../mine/notes.txt")), OVER, "refused"),
    ("a new attack is a link outside", link("run/attacks/again", "../../mine"), AGAIN, "refused"),
    ("a new attack is a dangling link", link("run/attacks/again", "../../mine/new"), AGAIN, "refused"),
    ("run.json links outside", both(gone("run.json"), link("run/run.json", "../mine/notes.txt")), ENCODE, "refused"),
    ("checksums.json links outside", both(UNFINISHED, gone("checksums.json"), link("run/checksums.json", "../mine/sums.json")), ENCODE, "refused"),
    ("model links outside", moved("model"), ENCODE, "either"),
    ("training.pt links outside", both(lambda w: shutil.rmtree(w / "run/model"), link("run/training.pt", "../mine/notes.txt")), ("train",), "either"),
    ("model of a training links outside", both(lambda w: shutil.rmtree(w / "run/model"), link("run/model", "../mine")), ("train",), "refused"),
    ("the run itself is a link to a run", lambda w: (shutil.move(w / "run", w / "mine" / "run"), os.symlink("mine/run", w / "run")), AGAIN, "either"),
    ("the run is a link to something else", lambda w: (shutil.rmtree(w / "run"), os.symlink("mine", w / "run")), ("train",), "refused"),
    ("a foreign file in an attack", lambda w: (w / "run/attacks" / NAMES[1] / "notes.txt").write_text("mine"), OVER, "either"),
    ("a foreign file among the codes", both(UNFINISHED, lambda w: (w / "run/codes/notes.txt").write_text("mine")), ENCODE, "ok"),
    ("a foreign file among the parts", both(UNFINISHED, lambda w: ((w / "run/codes/query.parts").mkdir(), (w / "run/codes/query.parts/mine.npz").write_text("mine"))), ENCODE, "either"),
)  # fmt: skip
"""What is made, what runs on it, and whether it may be accepted."""
MINE = {"a.npz": "mine", "b.npz": "mine", "notes.txt": "mine\n", "sums.json": '{"a": "b"}'}


def cases(rng: np.random.Generator, stage: Stage, number: int) -> Case:
    """One run folder with a place that leads outside."""
    title, make, words, wanted = KNOWN[number % len(KNOWN)]
    if words == ("train",):
        words = train_words(stage.photos)

    def prepare(work: Path) -> None:
        stage.copy("run")(work)
        (work / "mine").mkdir()
        for name, text in MINE.items():
            (work / "mine" / name).write_text(text)
        make(work)
        (work / "mine.before").write_text(repr(listing(work)))

    return Case(title, (words,), wanted=wanted, prepare=prepare, check=unchanged)


def listing(work: Path) -> dict[str, str]:
    """Every file outside the run folder, and those inside that the run did not make."""
    found = {}
    for root, folders, files in os.walk(work):
        if Path(root) == work:
            folders[:] = [name for name in folders if name != "run"]
        for name in files:
            path = Path(root) / name
            if path.name == "mine.before":
                continue
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                found[str(path.relative_to(work))] = path.read_bytes().hex()
            else:
                found[str(path.relative_to(work))] = f"{stat.S_IFMT(mode):o}"
    for path in (work / "run").rglob("notes.txt") if (work / "run").is_dir() else ():
        found[str(path.relative_to(work))] = path.read_text()
    for path in (work / "run").rglob("mine.npz") if (work / "run").is_dir() else ():
        found[str(path.relative_to(work))] = path.read_text()
    return found


def unchanged(work: Path, ended: Ended) -> str:
    """Every file that was there before is there as it was, and none has come."""
    before: dict[str, str] = eval((work / "mine.before").read_text())
    now = listing(work)
    # Where the run folder itself is a link, its own files are there.
    own = (work / "run").is_symlink() and (work / "mine" / "run").exists()
    for name, content in before.items():
        if own and name.startswith("mine/run/"):
            continue
        if name not in now:
            return f"{name} is gone"
        if now[name] != content:
            return f"{name} has changed"
    new = [n for n in now if n not in before and not (own and n.startswith("mine/run/"))]
    return f"{new[0]} was written outside the run folder" if new else ""
