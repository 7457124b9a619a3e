"""A training that was killed ends in the same bits as one that was not."""

import resource
import signal
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
import torch

from hashprobe.errors import HashprobeError
from hashprobe.training.loop import train
from hashprobe.training.options import TrainOptions


STEPS = 8  # two epochs of four
OPTIONS = {
    "epochs": 2,
    "batch_size": 10,
    "held_out": 4,
    "lr": 0.05,
    "schedule": "cosine",
    "warmup": 0.5,
    "save_seconds": 0.0,
}


class Killed(Exception):
    pass


def killed_at(*positions):
    """A callback that ends the training after the first of some steps that it meets."""

    def on_step(done, total, loss):
        assert total == STEPS
        if done in positions:
            raise Killed

    return on_step


def score(queries, database, query_labels, database_labels):
    return np.float64((queries @ database.T).mean() % 1)


def result(hasher, history):
    """All that must be equal: every tensor, and every record but the clock's."""
    tensors = {key: value.clone() for key, value in hasher.state_dict().items()}
    return tensors, [(e.number, e.loss, e.lr, e.held_out_map) for e in history]


def assert_same(first, second):
    assert first[1] == second[1]
    for key, value in first[0].items():
        assert torch.equal(value, second[0][key]), key


@pytest.fixture
def run(small, pictures):
    """Trains on 40 pictures; the hasher's own weights play no part when a state is there."""
    images, labels = pictures(40)

    def call(state=None, on_step=None, weights=0, **other):
        hasher = small(weights)
        history = train(
            hasher,
            images,
            labels,
            TrainOptions(**(OPTIONS | other)),
            state=state,
            measure=score,
            on_step=on_step,
        )
        return result(hasher, history)

    return call


@pytest.fixture(scope="module")
def known():
    """Trainings that nothing disturbed, by their options."""
    return {}


@pytest.fixture
def whole(run, known):
    """What a training gives that nothing disturbs; each is done once."""

    def call(**options):
        key = tuple(options.items())
        if key not in known:
            known[key] = run(**options)
        return known[key]

    return call


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_killed_after_any_step(run, whole, tmp_path, step, optimiser):
    state = tmp_path / "state.pt"
    with pytest.raises(Killed):
        run(state, killed_at(step), optimiser=optimiser)
    assert state.is_file() == (step > 1)
    resumed = run(state, weights=99 if step > 1 else 0, optimiser=optimiser)
    assert_same(resumed, whole(optimiser=optimiser))


@pytest.mark.parametrize("step", [3, 6])
def test_the_slope_of_hashnet_goes_on_where_it_was(run, tmp_path, monkeypatch, step):
    """It grows with all steps done, not with those of an epoch or of this process."""
    hashnet = import_module("hashprobe.training.losses.hashnet")
    slopes, known = [], hashnet.hashnet_slope
    monkeypatch.setattr(hashnet, "EVERY", 1)
    monkeypatch.setattr(hashnet, "GAMMA", 1.0)
    monkeypatch.setattr(hashnet, "hashnet_slope", lambda at: slopes.append(known(at)) or slopes[-1])
    wanted = [(1 + position) ** 0.5 for position in range(STEPS)]
    whole = run(loss="hashnet")
    assert slopes == wanted
    with pytest.raises(Killed):
        run(tmp_path / "state.pt", killed_at(step), loss="hashnet")
    slopes.clear()
    assert_same(run(tmp_path / "state.pt", loss="hashnet"), whole)
    assert slopes == wanted[step - 1 :]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_killed_again_and_again(run, tmp_path, precision):
    state = tmp_path / "state.pt"
    for _ in range(STEPS - 1):
        # Each try gets one step further than the state that it found.
        done = []
        with pytest.raises(Killed):
            run(
                state,
                lambda position, *rest, done=done: (
                    done.append(position) or killed_at(done[0] + 1)(position, *rest)
                ),
                precision=precision,
            )
    assert_same(run(state, precision=precision), run(precision=precision))


def test_between_two_saves_it_goes_back_to_the_last(run, whole, tmp_path):
    state = tmp_path / "state.pt"
    with pytest.raises(Killed):
        run(state, killed_at(7), save_seconds=3600)
    first = []
    resumed = run(state, lambda done, *rest: first.append(done), save_seconds=3600)
    assert first == [5, 6, 7, 8]
    assert_same(resumed, whole())


def test_dropout_is_resumed_too(tiny, pictures, tmp_path):
    images, labels = pictures(40)
    state, options = tmp_path / "state.pt", TrainOptions(**OPTIONS)
    with pytest.raises(Killed):
        train(tiny(dropout=0.5), images, labels, options, state=state, on_step=killed_at(4))
    torch.manual_seed(123)
    results = []
    for path in (state, None):
        hasher = tiny(dropout=0.5)
        results.append(result(hasher, train(hasher, images, labels, options, state=path)))
    assert_same(*results)


def test_a_finished_training_is_not_repeated(run, tmp_path):
    state = tmp_path / "state.pt"
    whole = run(state)
    steps = []
    assert_same(run(state, lambda done, *rest: steps.append(done), weights=5), whole)
    assert steps == []


def test_a_kill_while_saving_leaves_the_state_before(run, whole, tmp_path, monkeypatch):
    state = tmp_path / "state.pt"
    save, times = torch.save, []

    def dies(content, path):
        times.append(path)
        if len(times) < 3:
            return save(content, path)
        path.write_bytes(b"half")
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(torch, "save", dies)
        run(state)
    first = []
    assert_same(run(state, lambda done, *rest: first.append(done)), whole())
    assert first[0] == 3


SCRIPT = """
import sys
from pathlib import Path
import numpy as np, torch
from hashprobe.training import TrainOptions, train
from hashprobe.victims import ImageHasher

torch.set_num_threads(1)
content = np.load(sys.argv[1])
torch.manual_seed(0)
hasher = ImageHasher("small", 8, size=8)
options = TrainOptions(**{options!r})
train(hasher, torch.from_numpy(content["images"]), content["labels"], options,
      state=Path(sys.argv[2]), on_step=lambda done, total, loss: print(done, flush=True))
"""


def test_kill_9(run, whole, tmp_path, pictures):
    """A process of its own, killed by the operating system somewhere after its fifth step."""
    images, labels = pictures(40)
    np.savez(tmp_path / "data.npz", images=images.numpy(), labels=labels)
    state = tmp_path / "state.pt"
    code = SCRIPT.format(options=OPTIONS)
    command = [sys.executable, "-c", code, str(tmp_path / "data.npz"), str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) == 5:
                process.kill()
    assert process.returncode == -signal.SIGKILL
    assert state.is_file()
    first = []
    resumed = run(state, lambda done, *rest: first.append(done), weights=3)
    assert first[0] > 4
    assert resumed[0].keys() == whole()[0].keys()
    for key, value in whole()[0].items():
        assert torch.equal(value, resumed[0][key]), key


@pytest.mark.parametrize(
    "other", [{"lr": 0.06}, {"seed": 1}, {"epochs": 3}, {"loss": "dpsh"}, {"augment": "none"}]
)
def test_a_state_of_other_options_is_refused(run, tmp_path, other):
    state = tmp_path / "state.pt"
    with pytest.raises(Killed):
        run(state, killed_at(3))
    message = r"state\.pt belongs to a training with other options or data: use another folder, or"
    with pytest.raises(HashprobeError, match=message):
        run(state, **other)


def test_a_state_of_other_data_is_refused(run, tmp_path, small, pictures):
    state = tmp_path / "state.pt"
    with pytest.raises(Killed):
        run(state, killed_at(3))
    images, labels = pictures(40)
    for other_images, other_labels in ((255 - images, labels), (images, ~labels)):
        with pytest.raises(HashprobeError, match="other options or data"):
            train(small(), other_images, other_labels, TrainOptions(**OPTIONS), state=state)


def test_how_long_and_where_may_change(run, whole, tmp_path):
    state = tmp_path / "state.pt"
    with pytest.raises(Killed):
        run(state, killed_at(3))
    resumed = run(state, minutes=60.0, save_seconds=30, accelerator="cpu")
    assert_same(resumed, whole())


@pytest.mark.parametrize("content", [b"", b"half a state", None])
def test_a_damaged_state_is_one_line_that_names_it(run, tmp_path, content):
    state = tmp_path / "state.pt"
    if content is None:
        torch.save({"other": 1}, state)
    else:
        state.write_bytes(content)
    with pytest.raises(HashprobeError, match=r"state\.pt cannot be read: delete it to start"):
        run(state)


def test_a_disk_without_space_is_one_line_and_nothing_is_lost(run, whole, tmp_path):
    state = tmp_path / "state.pt"
    with pytest.raises(Killed):
        run(state, killed_at(3))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(HashprobeError, match=r"state\.pt") as caught:
            run(state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
    assert_same(run(state), whole())
