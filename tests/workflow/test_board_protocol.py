"""The protocol of the leaderboard: which data fit, and the settings of its attacks."""

from types import SimpleNamespace

import pytest

from hashprobe.attacks.registry import ATTACKS, attack_named
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget
from hashprobe.workflow import board_protocol
from hashprobe.workflow.board_protocol import first_tried, protocol_of, released, step_size
from hashprobe.workflow.run_io import EncodedRun


class Looked(EncodedRun):
    """What the protocol looks at of a run."""

    def __init__(self, *, name="cifar10-2", bits=32, size=32, frames=0, labels=(), root=None):
        contract = SimpleNamespace(size=size, frames=frames)
        for part, value in (
            (
                "run",
                SimpleNamespace(path="runs/one", config={"data": {"name": name, "root": root}}),
            ),
            ("data", SimpleNamespace(label_names=labels)),
            ("hasher", SimpleNamespace(bits=bits, contract=contract)),
        ):
            object.__setattr__(self, part, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 16}, "has 16 bits at 32 pixels: the leaderboard takes cifar10-2 with 32 bits"),
        ({"size": 224}, "has 32 bits at 224 pixels"),
        ({"frames": 8}, "is a run of clips"),
    ],
)
def test_a_run_that_does_not_fit_its_data_is_one_line(change, message):
    with pytest.raises(HashprobeError, match=message) as caught:
        protocol_of(Looked(**change))
    assert "runs/one" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({"size": 224, "labels": board_protocol.SYNSETS, "root": "/a/val"}, "imagenette, 224 px"),
        ({"size": 64, "labels": board_protocol.IMAGENETTE, "root": "/a/val"}, "imagenette, 64 px"),
        ({"size": 64, "labels": ("a",), "root": "/home/x/cats"}, "folder x/cats, 64 px"),
    ],
)
def test_other_data_have_their_own_title_and_one_budget(change, title):
    found = protocol_of(Looked(name="folder", **change))
    assert (found.title, found.top, found.eps) == (title, None, (4,))


def test_cifar_has_two_budgets_and_a_list():
    found = protocol_of(Looked(root="/any"))
    assert (found.title, found.top, found.eps) == ("cifar10-2", 1000, (2, 8))


def test_every_baseline_that_needs_no_training_is_measured():
    known = {
        name
        for name, each in ATTACKS.items()
        if each.baseline and each.access == "white" and "generator" not in each.needs
    }
    assert known - {*board_protocol.BASELINES, *board_protocol.OWN} == set()


@pytest.mark.parametrize("name", board_protocol.BASELINES)
def test_a_baseline_is_released_or_tuned_in_as_many_passes(name):
    usual = attack_named(name).options()
    assert released(name).options.steps == min(100, usual.steps)
    assert first_tried(name, Budget(4 / 255)).options.steps == 100


def test_a_step_that_a_release_takes_from_the_budget_keeps_its_length():
    for name, size in (("pta", 4 / 255 / 20), ("mainstay", 1 / 255), ("dhta", 1.0)):
        assert first_tried(name, Budget(4 / 255)).options.step_size == pytest.approx(size)
    assert step_size(attack_named("pta").options(), Budget(4 / 255)) == pytest.approx(0.2 / 255)
    assert step_size(attack_named("noise").options(), Budget(4 / 255)) is None
