"""Every field of every record of a run is replaced by something else: one line, or it is valid.

The readers are called in this process, and none of them may write.
"""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from hashprobe.attacks.registry import ATTACKS
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.query_files import read_query
from hashprobe.data.datasets.digits import load_digits
from hashprobe.errors import HashprobeError
from hashprobe.paper.running import CardFacts
from hashprobe.report.markdown import markdown_table
from hashprobe.storage.environment import Environment
from hashprobe.storage.files import read_npz, sha256_file, write_npz
from hashprobe.storage.records import read_record
from hashprobe.storage.runs import Run
from hashprobe.storage.schema import AttackRecord
from hashprobe.victims import checkpoint
from hashprobe.victims.checkpoint import load_checkpoint
from hashprobe.workflow.commands import attack_command, commands_of
from hashprobe.workflow.encode_step import check_precision
from hashprobe.workflow.report_step import environment_facts, facts, measures_of, table
from hashprobe.workflow.results import finished_attack
from hashprobe.workflow.run_io import data_options, load_codes, open_run
from hashprobe.workflow.train_step import EpochEvent


LONG = "9" * 5000
STRANGE = (None, True, "text", -3, 0.5, 10**30, [1, "x"], {"a": {"b": [1]}}, LONG)
MODEL, RUN = "model/model.json", "run.json"


@pytest.fixture(scope="module")
def whole(audit, tmp_path_factory):
    """A copy of the run with one attack, which only single files of are changed."""
    run = shutil.copytree(audit[0], tmp_path_factory.mktemp("whole") / "run")
    for folder in sorted((run / "attacks").iterdir()):
        if not folder.name.startswith("dhta"):
            shutil.rmtree(folder)
    return run


@pytest.fixture(scope="module")
def digits():
    return load_digits()


ALIKE = {"map_attacked", "floor", "ceiling", "wrong", "wrong_float", "achieved_float", "map_clean"}
"""Parts of an evaluation that are like others."""


def places(value, steps=()):
    """The steps to every value within a value; of a long list the first and the last."""
    yield steps
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ALIKE:
                continue
            yield from places(item, (*steps, key))
    if isinstance(value, list):
        for index in sorted({0, len(value) - 1} if value else ()):
            yield from places(value[index], (*steps, index))


def replaced(value, steps, part):
    if not steps:
        return part
    inner = replaced(value[steps[0]], steps[1:], part)
    if isinstance(value, dict):
        return {**value, steps[0]: inner}
    return [inner if i == steps[0] else item for i, item in enumerate(value)]


def texts(value):
    """Every text that the file becomes, with the place and what stands there."""
    for steps in places(value):
        for strange in STRANGE:
            text = json.dumps(replaced(value, steps, strange))
            yield steps, strange, text.replace(f'"{LONG}"', LONG)
        if steps:
            text = json.dumps(replaced(value, steps, "@"))
            for token in ("NaN", "[" * 5000):
                yield steps, token, text.replace('"@"', token)


def read_run(path, digits):
    run = Run.open(path)
    data_options(run)
    commands_of(path, run, [])


def read_environment(path, digits):
    environment_facts(read_record(path / "environment.json", Environment))


def read_model(path, digits):
    read_record(path / MODEL, CardFacts)
    facts(load_checkpoint(path / "model")[1], digits)


def read_checksums(path, digits):
    run = Run.open(path)
    run.finished("codes/query.npz", MODEL)
    run.check_seals(MODEL)


def read_attack(path, digits):
    for folder in (path / "attacks").iterdir():
        finished = finished_attack(folder)
        assert finished.record == AttackRecord.read(folder)
        attack_command(path, finished)
        markdown_table(table([finished]))


def read_log(path, digits):
    run = Run.open(path)
    check_precision(run, [], "float32")
    {event["number"] for event in run.events("epoch", EpochEvent)}


READERS = [
    (RUN, read_run),
    ("environment.json", read_environment),
    (MODEL, read_model),
    ("checksums.json", read_checksums),
    ("attacks/*/attack.json", read_attack),
    ("attacks/*/evaluation.json", read_attack),
    ("metrics.jsonl", read_log),
]


def spare_networks(monkeypatch):
    """Networks of one kind are built once, and their weights are not read."""
    built, build = {}, checkpoint.build

    def build_once(card):
        key = repr((card.backbone, card.bits, card.contract, card.batch_norm, card.hidden))
        built[key] = built[key] if key in built else build(card)
        return built[key]

    monkeypatch.setattr(checkpoint, "build", build_once)
    monkeypatch.setattr(checkpoint, "load_matching", lambda *_: None)


def state(folder):
    return {p: sha256_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(("name", "read"), READERS, ids=[name for name, _ in READERS])
def test_a_record_with_another_value_is_one_line_or_is_valid(
    whole, digits, name, read, as_for_users, monkeypatch
):
    if read is read_model:
        spare_networks(monkeypatch)
    (file,) = whole.glob(name)
    before, good = state(whole), file.read_bytes()
    read(whole, digits)
    refused = valid = 0
    lines = good.splitlines() if file.suffix == ".jsonl" else [good]
    seen = set()
    for number, line in enumerate(lines):
        value = json.loads(line)
        if file.suffix == ".jsonl" and value["event"] not in {"epoch", "encoded split"} - seen:
            continue
        seen.add(value["event"] if file.suffix == ".jsonl" else None)
        for steps, strange, text in texts(value):
            parts = [*lines[:number], text.encode(), *lines[number + 1 :], b""]
            file.write_bytes(b"\n".join(parts))
            try:
                read(whole, digits)
                valid += 1
            except HashprobeError as error:
                refused += 1
                message = str(error)
                assert "\n" not in message and len(message) < 1000, (steps, strange)
                assert file.name in message or file.parent.name in message, (steps, message)
    file.write_bytes(good)
    assert state(whole) == before
    # What is free text, may be null, or is not read takes other values.
    assert refused > (0 if file.suffix == ".jsonl" else valid), (refused, valid)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (name, content)
        for name, _ in READERS
        if not name.startswith("attacks") and name != "metrics.jsonl"
        for content in (
            b"",
            b"null",
            b"[]",
            b"3",
            b'"x"',
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"a": NaN}',
        )
    ],
)
def test_a_record_that_is_something_else_is_one_line(whole, digits, name, content, as_for_users):
    (file,) = whole.glob(name)
    good = file.read_bytes()
    file.write_bytes(content)
    try:
        with pytest.raises(HashprobeError) as caught:
            dict(READERS)[name](whole, digits)
        assert str(file) in str(caught.value) and "\n" not in str(caught.value)
        assert file.read_bytes() == content
    finally:
        file.write_bytes(good)


OTHERS = {"U": "S", "b": "f8", "i": "f8", "u": "f8", "f": "M8[s]"}
ARRAYS = {
    "another type": lambda a: a.astype(OTHERS[a.dtype.kind]),
    "complex": lambda a: a.astype(complex) if a.dtype.kind != "U" else a.astype("S"),
    "one more dimension": lambda a: a[None],
    "text": lambda a: np.full(a.shape, "x"),
    "twice": lambda a: np.concatenate([a, a]) if a.ndim else np.array([a, a]),
    "less": lambda a: a[:-1] if a.ndim and len(a) else np.zeros((0,), a.dtype),
}


@pytest.mark.parametrize("change", ARRAYS)
@pytest.mark.parametrize("part", ["codes", "bits", "labels", "positions"])
def test_codes_of_another_type_or_length_are_one_line(whole, part, change, as_for_users):
    run, name = Run.open(whole), "codes/query.npz"
    good, seals = (whole / name).read_bytes(), (whole / "checksums.json").read_bytes()
    arrays = read_npz(whole / name)
    try:
        write_npz(whole / name, {**arrays, part: ARRAYS[change](arrays[part])})
        run.seal(name)
        with pytest.raises(HashprobeError) as caught:
            load_codes(run, "query")
        assert str(whole / name) in str(caught.value) and "\n" not in str(caught.value)
    finally:
        (whole / name).write_bytes(good)
        (whole / "checksums.json").write_bytes(seals)


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("bits", np.array(9), "zero bits|9 bits"),
        ("bits", np.array(2**40), "1 to 4096 bits"),
        ("bits", np.array(-16), "1 to 4096 bits"),
        ("positions", lambda a: a[::-1].copy(), "do not rise"),
        ("positions", lambda a: a - 1, "do not rise"),
        ("positions", lambda a: a + 10**6, "has item"),
        ("labels", lambda a: a[:, :-1], "has 9 labels"),
    ],
)
def test_codes_that_are_not_of_this_run_are_one_line(whole, part, value, words, as_for_users):
    run, name = Run.open(whole), "codes/query.npz"
    good, seals = (whole / name).read_bytes(), (whole / "checksums.json").read_bytes()
    arrays = read_npz(whole / name)
    try:
        other = value(arrays[part]) if callable(value) else value
        write_npz(whole / name, {**arrays, part: other})
        run.seal(name)
        with pytest.raises(HashprobeError, match=words) as caught:
            open_run(whole)
        assert str(whole / name) in str(caught.value)
    finally:
        (whole / name).write_bytes(good)
        (whole / "checksums.json").write_bytes(seals)


@pytest.mark.parametrize("change", ARRAYS)
def test_attacked_queries_of_another_type_are_one_line(whole, tmp_path, change, as_for_users):
    (folder,) = (whole / "attacks").iterdir()
    recipe = AttackRecord.read(folder).recipe
    path = sorted((folder / "queries").glob("*.npz"))[0]
    (tmp_path / "queries").mkdir()
    arrays = read_npz(path)
    for part in arrays:
        if ARRAYS[change](arrays[part]).dtype.kind == "U" and arrays[part].dtype.kind == "U":
            continue
        write_npz(tmp_path / "queries" / path.name, {**arrays, part: ARRAYS[change](arrays[part])})
        alike = (change in ("twice", "less") and arrays[part].ndim == 1) or part.startswith("image")
        try:
            read_query(tmp_path, recipe, int(path.stem))
            assert alike, (part, change)
        except HashprobeError as error:
            assert path.name in str(error) and "\n" not in str(error)


def test_registered_options_are_checked_by_their_attack(whole, as_for_users):
    (folder,) = (whole / "attacks").iterdir()
    good = (folder / "attack.json").read_bytes()
    content = json.loads(good)
    assert content["recipe"]["attack"] in ATTACKS
    content["recipe"]["options"]["steps"] = "many"
    (folder / "attack.json").write_text(json.dumps(content))
    try:
        with pytest.raises(HashprobeError, match=r"recipe\.options\.steps must be a whole number"):
            finished_attack(folder)
    finally:
        (folder / "attack.json").write_bytes(good)


@pytest.mark.parametrize("part", ["top", "normaliser", "ties", "empty"])
def test_an_attack_that_does_not_say_how_it_was_measured(whole, part):
    finished = finished_attack(next((whole / "attacks").iterdir()))
    protocol = {name: value for name, value in finished.record.protocol.items() if name != part}
    with pytest.raises(HashprobeError, match=rf"attack\.json is .* protocol\.{part} is missing"):
        measures_of(replace(finished, record=replace(finished.record, protocol=protocol)))


def test_a_query_of_another_code_length_names_its_file(whole):
    (folder,) = (whole / "attacks").iterdir()
    path = sorted((folder / "queries").glob("*.npz"))[-1]
    good, arrays = path.read_bytes(), read_npz(path)
    write_npz(path, {**arrays, "target_code": arrays["target_code"][:-1]})
    try:
        with pytest.raises(HashprobeError, match=f"{path} has another size or code length"):
            AttackResult.load(folder)
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize("content", [b"null", b'{"packages": 3}'])
def test_the_command_line_says_it_in_one_line(hashprobe, run, content):
    (run / "environment.json").write_bytes(content)
    before = (run / "report.html").read_bytes()
    assert str(run / "environment.json") in hashprobe(f"report {run}").error
    assert (run / "report.html").read_bytes() == before


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [("network", "bits", None), ("network", "frozen", "yes"), ("train", "epochs", [30])],
)
@pytest.mark.parametrize("command", ["encode {}", "attack p2p {} --queries 2", "report {}"])
def test_every_command_reads_the_sections_of_a_run(
    hashprobe, encoded, command, section, name, value
):
    path = encoded / RUN
    content = json.loads(path.read_text())
    content["config"][section][name] = value
    path.write_text(json.dumps(content))
    error = hashprobe(command.format(encoded)).error
    assert str(path) in error and f"config.{section}.{name} must be" in error
