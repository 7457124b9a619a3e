"""Several processes: what each says reaches the caller, and together they do one training."""

import logging
import subprocess
import sys

import pytest
import torch

from hashprobe.errors import HashprobeError
from hashprobe.training.loop import Examples, Extras, Listeners, Training, train
from hashprobe.training.options import TrainOptions
from hashprobe.training.processes import Relay, open_fabric
from hashprobe.victims.image import ImageHasher


def sent(relay, *items):
    """Everything that processes would have sent, then the end."""
    for name, *values in items:
        relay.sender(name)(*values)
    relay.queue.put(None)
    relay.listen()


def test_a_relay_calls_what_was_named_in_order():
    seen = []
    relay = Relay({"a": lambda *v: seen.append(("a", v)), "b": lambda *v: seen.append(("b", v))})
    sent(relay, ("a", 1, 2), ("b", "x"), ("a",))
    assert seen == [("a", (1, 2)), ("b", ("x",)), ("a", ())]
    assert relay.failure is None


def test_an_error_of_a_process_or_of_a_callback_is_kept():
    relay = Relay({})
    sent(relay, ("error", "the loss became nan"))
    assert isinstance(relay.failure, HashprobeError)
    assert str(relay.failure) == "the loss became nan"
    seen = []
    relay = Relay({"a": lambda v: seen.append(1 / v)})
    sent(relay, ("a", 1), ("a", 0), ("a", 2))
    assert isinstance(relay.failure, ZeroDivisionError)
    assert seen == [1]


def network():
    """A network whose rows never mix and that draws nothing at random."""
    torch.manual_seed(0)
    hasher = ImageHasher("squeezenet1_1", 8, size=32, batch_norm=False)
    hasher.network.classifier[0].p = 0.0
    return hasher


def test_two_processes_do_the_training_of_one(pictures, capfd):
    images, labels = pictures(16, size=32)
    results, reports = [], []
    for devices in (1, 2):
        options = TrainOptions(
            epochs=2,
            batch_size=8,
            optimiser="sgd",
            lr=0.01,
            schedule="constant",
            held_out=0,
            augment="none",
            pair_weights="none",
            devices=devices,
            accelerator="cpu",
        )
        hasher, said = network(), []
        before = hasher.network.features[0].weight.detach().clone()
        history = train(
            hasher,
            images,
            labels,
            options,
            on_step=lambda done, total, loss, said=said: said.append((done, total)),
            on_epoch=lambda epoch, said=said: said.append(epoch.number),
        )
        assert not torch.equal(hasher.network.features[0].weight, before)
        assert not hasher.training
        results.append((hasher.state_dict(), [e.number for e in history]))
        reports.append(said)
    assert reports[0] == reports[1] == [(1, 4), (2, 4), 1, (3, 4), (4, 4), 2]
    assert results[0][1] == results[1][1] == [1, 2]
    for key, value in results[0][0].items():
        torch.testing.assert_close(value, results[1][0][key], atol=1e-5, rtol=1e-4)
    assert "distributed" not in capfd.readouterr().err


@pytest.mark.parametrize("devices", [2])
def test_too_few_items_for_the_devices_are_refused(pictures, as_for_users, devices):
    class Two:
        world_size = devices

    images, labels = pictures(3, size=32)
    examples = Examples(images, labels)
    work = Training(network(), examples, TrainOptions(), Extras(), Listeners())
    with pytest.raises(HashprobeError, match="3 training items are too few for 2 devices"):
        work.run(Two())


def test_notes_of_the_library_are_not_shown_whenever_it_is_loaded(capfd):
    library = logging.getLogger("lightning_fabric")
    before = library.level, library.propagate
    shown = logging.StreamHandler(sys.stderr)
    library.addHandler(shown)
    try:
        library.setLevel(logging.INFO)  # as loading it does
        open_fabric(TrainOptions(precision="bfloat16", accelerator="cpu"))
    finally:
        library.removeHandler(shown)
        library.level, library.propagate = before
    assert capfd.readouterr().err == ""


def test_hardening_loads_it_where_a_training_begins():
    code = "import sys, hashprobe.defenses.trainers.hardener as _; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert "hashprobe.training.loop" in loaded.split() and "lightning_fabric" not in loaded.split()
