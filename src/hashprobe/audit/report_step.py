"""One HTML page about a run."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from hashprobe.audit.commands import commands_of
from hashprobe.audit.log import Screen, Silence
from hashprobe.audit.results import Finished, finished_attacks
from hashprobe.audit.run_io import Encoded, load_codes, reopen
from hashprobe.codes.index import FlatIndex
from hashprobe.crafting.record import Attacked
from hashprobe.data.loader import fit_image
from hashprobe.data.retrieval import RetrievalData
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.curves import precision_curve, precision_recall_curve
from hashprobe.evaluation.measures import mean_average_precision
from hashprobe.report.content import AttackRow, Curve, Example, Picture, ReportData, Retrieved
from hashprobe.report.markdown import markdown_table
from hashprobe.report.page import write_report
from hashprobe.storage.files import read_json
from hashprobe.storage.runs import Run
from hashprobe.types import Budget, InputContract
from hashprobe.victims.base import Hasher
from hashprobe.victims.checkpoint import ModelCard


TITLES = {
    "noise": "Noise",
    "p2p": "P2P",
    "dhta": "DHTA",
    "bit-margin": "Bit margin",
    "feature": "Feature space",
    "hag": "HAG",
}
SHOWN = 10
STEP, LAST = 3, 21
"""Of a query every third frame is shown, up to the 21st (DHTA, figure 9)."""


def report_run(
    path: Path,
    *,
    out: Path | None = None,
    examples: int = 8,
    attack: str | None = None,
    commands: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    screen: Screen | None = None,
) -> Path:
    """Write the page of a run: table, curves and pictures.

    Args:
        path: the run folder.
        out: the page; by default report.html in the run folder.
        examples: queries shown with their results before and after.
        attack: folder name of the attack that the examples and curves are of; by default the one
            with the highest t-MAP.
        commands: what to type to get this page again; by default derived from the run.
        notes: sentences that a reader needs beside the numbers.
        screen: where to say what happens.

    Returns:
        The path of the page.

    Raises:
        HashprobeError: the run is not encoded, no attack on it is finished, or not this one.

    Example:
        >>> from hashprobe.attacks._noise import NoiseOptions
        >>> import tempfile
        >>> from hashprobe.data.datasets.registry import DataOptions
        >>> from hashprobe.training.options import TrainOptions
        >>> from hashprobe.audit.train_step import Network, train_run
        >>> from hashprobe.audit.attack_step import attack_run
        >>> from hashprobe.audit.encode_step import encode_run
        >>> folder = Path(tempfile.mkdtemp())
        >>> run = train_run(folder, DataOptions("digits"), Network("small", 8, size=8),
        ...                 TrainOptions(epochs=1, batch_size=125))
        >>> clean = encode_run(folder)
        >>> noisy = attack_run(folder, "noise", budget=Budget(8 / 255), options=NoiseOptions())
        >>> report_run(folder, examples=2).name
        'report.html'
    """
    screen = screen or Silence()
    if examples < 0:
        raise HashprobeError(f"examples must be 0 or more; got {examples}")
    run = Run.open(path)
    query, database = load_codes(run, "query"), load_codes(run, "database")
    attacks = finished_attacks(run)
    shown = choose(attacks, attack, path)
    data, hasher, card = reopen(run)
    same = [f for f in attacks if comparable(f, shown)]
    pr, precision = curves(same, database)
    with screen.bar("searching for the examples") as tick:
        pictures = make_examples(shown, examples, data, hasher, database)
        tick(1, 1)
    names = ("top", "normaliser", "ties", "empty")
    measures: Any = {name: shown.settings["protocol"][name] for name in names}
    page = ReportData(
        title=f"hashprobe: {card.backbone} on {data.name}, {card.bits} bits",
        facts=facts(card, data),
        bits=card.bits,
        clean=mean_average_precision(
            query.codes, database.codes, query.labels, database.labels, **measures
        ),
        findings=tuple(str(finding) for finding in data.findings if not finding.harmless),
        rows=tuple(table(attacks)),
        pr_curves=tuple(pr),
        precision_curves=tuple(precision),
        examples=pictures,
        choice=choice(len(pictures), card.contract.frames) if pictures else "",
        commands=commands or tuple(commands_of(path, run, attacks)),
        environment=environment(run),
        notes=notes + tuple(f"{finding}." for finding in data.findings if finding.harmless),
        version=run.version,
        created=run.created,
    )
    where = out or path / "report.html"
    write_report(page, where)
    return where


def report_table(path: Path) -> str:
    """The table of a run's attacks as Markdown; opens neither pictures nor network.

    Args:
        path: the run folder.

    Raises:
        HashprobeError: no attack on it is finished.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> run = Run.create(folder, {})
        >>> report_table(folder)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: ... has no finished attack to report: run hashprobe ...
    """
    attacks = finished_attacks(Run.open(path))
    choose(attacks, None, path)
    return markdown_table(table(attacks))


def choose(attacks: list[Finished], name: str | None, path: Path) -> Finished:
    """The attack that the pictures are of."""
    if not attacks:
        raise HashprobeError(f"{path} has no finished attack to report: run hashprobe attack first")
    if name is not None:
        for finished in attacks:
            if finished.name == name:
                return finished
        known = ", ".join(f.name for f in attacks)
        raise HashprobeError(f"{path} has no finished attack {name!r}: there are {known}")
    real = [f for f in attacks if f.settings["attack"] != "noise"]
    return max(real or attacks, key=lambda f: f.evaluation.achieved.value)


def choice(count: int, frames: int) -> str:
    """How the examples, and of clips their frames, were chosen."""
    words = (
        f"The first {count} of the attacked queries, in the order of the query split; none was "
        "picked by its result."
    )
    strips = (
        " Clips are shown as strips of frames: a query by every third, or by all "
        "that it has or that were changed where these are few; a result by its first, middle and "
        "last."
    )
    return words + strips if frames else words


def comparable(one: Finished, other: Finished) -> bool:
    """Whether two attacks had the same budget, queries, targets and measures.

    What is also judged after a codec plays no part: curves are of the pixels before it.
    """

    def asked(finished: Finished) -> dict[str, Any]:
        protocol = finished.settings["protocol"]
        return {name: value for name, value in protocol.items() if name not in ("codec", "crf")}

    return one.budget == other.budget and asked(one) == asked(other)


def table(attacks: list[Finished]) -> list[AttackRow]:
    """The untouched queries, then every attack."""
    rows = []
    seen: set[str] = set()
    for finished in attacks:
        result = finished.evaluation
        if result.floor.signature not in seen:
            seen.add(result.floor.signature)
            rows.append(
                AttackRow(
                    "Original",
                    "untouched",
                    tmap=result.floor,
                    own_map=result.map_clean,
                    bits_wrong=result.wrong_clean,
                )
            )
        rows.append(attack_row(finished))
    return sorted(rows, key=lambda row: row.kind != "untouched")


def attack_row(finished: Finished) -> AttackRow:
    """One attack as a line of the table."""
    result, settings = finished.evaluation, finished.settings
    visible, unrounded = result.perceptibility, result.perceptibility_float
    return AttackRow(
        TITLES.get(settings["attack"], settings["attack"]),
        "noise" if settings["attack"] == "noise" else "attack",
        budget=budget_text(finished.budget),
        tmap=result.achieved,
        tmap_float=result.achieved_float,
        floor=result.floor,
        ceiling=result.ceiling,
        lift=result.lift,
        own_map=result.map_attacked,
        bits_wrong=result.wrong,
        bits_wrong_float=result.wrong_float,
        tmap_codec=result.achieved_codec,
        own_map_codec=result.map_codec,
        rmse=visible.rmse if visible else None,
        rmse_float=unrounded.rmse if unrounded else None,
        rmse_frames=visible.rmse_frames if visible else None,
        linf=visible.linf_255 if visible else None,
        psnr=visible.psnr if visible else None,
        ssim=visible.ssim if visible else None,
        steps=round(settings["backwards"]) or None,
        seconds=settings["seconds"],
    )


def budget_text(budget: Budget) -> str:
    """A budget as short as it can be said."""
    return budget.size.removesuffix(" in pixels").split(" (")[0] + budget.where


def curves(attacks: list[Finished], database: Encoded) -> tuple[list[Curve], list[Curve]]:
    """PR and precision@N, with the target label as the query's, for comparable attacks."""
    lengths = sorted({int(n) for n in np.geomspace(1, min(1000, len(database)), 24)})
    pr, precision = [], []
    for number, finished in enumerate(attacks):
        attacked = Attacked.load(finished.folder)
        title = TITLES.get(finished.settings["attack"], finished.settings["attack"])
        if [f.settings["attack"] for f in attacks].count(finished.settings["attack"]) > 1:
            title += f" ({finished.name})"
        sets = [(title, attacked.codes)]
        if not number:
            sets.insert(0, ("Original", attacked.clean_codes))
        for label, codes in sets:
            labels = attacked.target_labels, database.labels
            both = precision_recall_curve(codes, database.codes, *labels)
            pr.append(Curve(label, both.recall, both.precision, both.signature))
            found = precision_curve(lengths, codes, database.codes, *labels)
            precision.append(Curve(label, found.at.astype(float), found.value, found.signature))
    return pr, precision


def make_examples(
    finished: Finished,
    count: int,
    data: RetrievalData,
    hasher: Hasher,
    database: Encoded,
) -> tuple[Example, ...]:
    """The first attacked queries with what they retrieve before and after."""
    attacked = Attacked.load(finished.folder)
    count = min(count, len(attacked))
    if not count:
        return ()
    index = FlatIndex(database.codes.bits)
    index.add(database.codes)
    k = min(SHOWN, len(database))
    before = index.search(attacked.clean_codes[:count], k)
    after = index.search(attacked.codes[:count], k)
    contract = hasher.contract
    title = TITLES.get(finished.settings["attack"], finished.settings["attack"])

    def found(own: np.ndarray, target: np.ndarray, distances: Any, rows: Any) -> Any:
        return tuple(
            retrieved(data, database, contract, own, target, int(row), int(distance))
            for row, distance in zip(rows, distances, strict=True)
        )

    result = []
    for i in range(count):
        position = int(attacked.query_ids[i])
        query = data.query.source.read(position)
        frames = shown_frames(query[: contract.frames], attacked.images8[i], contract)
        own, target = data.query.labels[position], attacked.target_labels[i]
        result.append(
            Example(
                query=data.query.ids[position],
                labels=names(data, own),
                targets=names(data, target),
                image=picture(query, contract, frames),
                adversarial=picture(attacked.images8[i], contract, frames),
                before=found(own, target, before[0][i], before[1][i]),
                after=found(own, target, after[0][i], after[1][i]),
                frames=frames,
                note=f"{title} at {budget_text(finished.budget)}",
            )
        )
    return tuple(result)


def retrieved(
    data: RetrievalData,
    database: Encoded,
    contract: InputContract,
    own: np.ndarray,
    target: np.ndarray,
    row: int,
    distance: int,
) -> Retrieved:
    """One search result with its picture."""
    position = int(database.positions[row])
    labels = database.labels[row]
    item = data.database.source.read(position)
    frames = result_frames(min(len(item), contract.frames)) if contract.frames else ()
    return Retrieved(
        picture(item, contract, frames),
        names(data, labels),
        distance,
        own=bool((labels & own).any()),
        target=bool((labels & target).any()),
    )


def shown_frames(query: Tensor, adversarial: Tensor, contract: InputContract) -> tuple[int, ...]:
    """Which frames of a query are shown, from 1 on.

    The usual ones; where an attack has left one of them alone, the first of those that it changed.
    """
    if not contract.frames:
        return ()
    usual, clean = query_frames(len(query)), fit_image(query, contract)
    changed = (adversarial[: len(clean)] != clean).flatten(1).any(1).nonzero().flatten() + 1
    found = tuple(changed.tolist())
    return usual if set(usual) <= set(found) or not found else found[: LAST // STEP]


def query_frames(length: int) -> tuple[int, ...]:
    """Which frames stand for a query of so many, from 1 on: as in DHTA's figure 9.

    A clip that is shorter than the strips are long is shown whole.
    """
    if length <= LAST // STEP + 1:
        return tuple(range(1, length + 1))
    return tuple(range(STEP, min(length, LAST) + 1, STEP))


def result_frames(length: int) -> tuple[int, ...]:
    """Which frames stand for a search result of so many: the first, the middle, the last."""
    return tuple(sorted({1, (length + 1) // 2, length}))


def picture(item: Tensor, contract: InputContract, frames: tuple[int, ...] = ()) -> Picture:
    """An image, or these frames of a clip, at the network's size."""
    return fit_image(item[[i - 1 for i in frames]] if frames else item, contract).numpy()


def names(data: RetrievalData, label: np.ndarray) -> tuple[str, ...]:
    """The names of a label vector."""
    return tuple(data.label_names[i] for i in np.flatnonzero(label))


def facts(card: ModelCard, data: RetrievalData) -> tuple[tuple[str, str], ...]:
    """The network and the data in short."""
    sizes = ", ".join(f"{len(split):,} {role}" for role, split in data.splits().items())
    training = card.training
    return (
        ("Network", f"{card.backbone}, {card.contract.size}x{card.contract.size} pixels"),
        ("Code", f"{card.bits} bits"),
        ("Training", f"{training.get('loss')}, {training.get('epochs')} epochs"),
        ("Data", f"{data.name}: {sizes}"),
        ("Labels", f"{len(data.label_names)}"),
        ("Data checksum", data.checksum[:16]),
    )


def environment(run: Run) -> tuple[tuple[str, str], ...]:
    """Where the run was made."""
    content = read_json(run.path / "environment.json")
    packages = content.get("packages", {})
    pairs = [("Python", content.get("python")), ("Platform", content.get("platform"))]
    pairs += [(name, packages.get(name)) for name in ("torch", "faiss-cpu", "numpy")]
    return tuple((name, str(value)) for name, value in pairs if value)
