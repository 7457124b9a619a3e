"""ProS-GAN: its losses by hand, its budget, what training achieves, and what is refused."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from hashprobe.attacks import generator_training, prototypes
from hashprobe.attacks._prosgan import ProsganOptions, prosgan
from hashprobe.attacks.generator import Discriminator, Generator
from hashprobe.attacks.generator_training import (
    Lesson,
    generator_loss,
    judged,
    train_generator,
)
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.pairwise_prototypes import (
    pairwise_prototype_codes,
    pairwise_prototype_loss,
)
from hashprobe.attacks.trained_parts import TrainedParts
from hashprobe.codes.labelled import Codes
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget

from ..crafting.work import Told


EPS = Budget(96 / 255)
QUICK = ProsganOptions(updates=40, batch=8, rec=0.0)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """A PrototypeNet that is trained in no time."""
    for name, value in {"HIDDEN": 32, "SEMANTIC": 16, "RATE": 0.01}.items():
        monkeypatch.setattr(prototypes, name, value)


@pytest.fixture
def known(random_images):
    """Forty pictures with codes of two labels that are each other's opposites."""
    classes = np.arange(40) % 2
    signs = np.where(classes, 1, -1)[:, None] * np.array([1, -1] * 8)
    images = (255 * random_images(40, seed=5)).to(torch.uint8)
    return Codes.of(signs, classes, pictures=images)


def test_the_loss_of_the_generator_by_hand():
    rng = np.random.default_rng(3)
    z, b = rng.normal(size=(2, 4)), rng.choice([-1.0, 1.0], (2, 4))
    clean, moved = rng.random((2, 2, 3, 2, 2))
    alike = sum(math.tanh(0.7 * z[i, k]) * b[i, k] for i in range(2) for k in range(4)) / 8
    change = [(2 * m - 1) - (2 * c - 1) for m, c in zip(moved.ravel(), clean.ravel(), strict=True)]
    wanted = 5 * (1 - alike) + 100 * sum(d * d for d in change) / len(change)
    given = (torch.from_numpy(each) for each in (z, b, moved, clean))
    found = generator_loss(*given, alpha=0.7)
    assert found.item() == pytest.approx(wanted, abs=1e-12)


def test_the_loss_of_the_prototypes_pair_by_pair():
    rng = np.random.default_rng(4)
    p, codes = np.tanh(rng.normal(size=(3, 6))), rng.choice([-1.0, 1.0], (5, 6))
    similar, labels = rng.random((3, 5)) < 0.5, rng.integers(0, 2, (3, 4)).astype(float)
    guessed = rng.random((3, 4))
    pairs = 0.0
    for i in range(3):
        for j in range(5):
            theta = sum(p[i, k] * codes[j, k] for k in range(6)) / 2
            pairs -= similar[i, j] * theta - math.log(1 + math.exp(theta))
    wanted = pairs / 15 + ((np.sign(p) - p) ** 2).sum() / 3e4 + ((guessed - labels) ** 2).mean()
    given = (torch.from_numpy(each) for each in (p, codes, similar, guessed, labels))
    assert pairwise_prototype_loss(*given).item() == pytest.approx(wanted, abs=1e-12)


def test_the_discriminator_answers_labels_and_fakes():
    said, labels = torch.tensor([[0.5, 1.0, 0.25]]), torch.tensor([[1.0, 0.0]])
    assert judged(said, labels, 0.0).item() == pytest.approx((0.25 + 1 + 0.0625) / 3)
    assert judged(said, labels, 1.0).item() == pytest.approx((0.25 + 1 + 0.5625) / 3)
    for sides in ((8, 8), (32, 20), (2, 5)):
        assert Discriminator(2, sides, 4)(torch.rand(3, 3, *sides)).shape == (3, 3)


@pytest.mark.parametrize("budget", [EPS, Budget(0.3, "normalised")])
def test_a_generator_with_a_budget_stays_in_it_and_fills_it(budget, conv, random_images):
    contract = conv().contract
    made = Generator(2, 8, budget=budget, contract=contract).double()
    made.last[0].weight.data *= 1000  # tanh at its ends
    images = random_images(3, 9, 6)
    with torch.no_grad():
        moved = made(images, torch.eye(2, dtype=torch.float64)[[0, 1, 0]])
    unit = torch.ones(3) if budget.space == "pixel" else torch.tensor(contract.std)
    change = ((moved - images).abs() / unit.double().view(3, 1, 1)).amax((0, 2, 3))
    assert moved.shape == images.shape and moved.min() >= 0 and moved.max() <= 1
    np.testing.assert_allclose(change, budget.eps, rtol=1e-6)


def test_training_steers_pictures_that_it_has_not_seen(conv, known, random_images):
    victim, images = conv(dtype=torch.float32), random_images(20, seed=9).float()
    labels = np.eye(2, dtype=bool)[np.arange(20) % 2]
    codes = pairwise_prototype_codes(known, labels)
    assert (codes == np.where(labels[:, 1:], 1, -1) * np.array([1, -1] * 8)).all()

    def right(options):
        made = train_generator(victim, known, budget=EPS, options=options)
        goal = Goal.targeted(codes, labels=labels, generator=made)
        moved = prosgan(victim, Queries(images), goal, budget=EPS, options=options)
        assert ((moved - images).abs() <= EPS.eps + 1e-6).all()
        with torch.no_grad():
            return ((victim(moved) >= 0).numpy() == (codes > 0)).mean()

    before = victim.state_dict()["hash.weight"].clone()
    strides = [each.stride() for each in victim.parameters()]
    untrained = right(dataclasses.replace(QUICK, updates=1))
    assert right(QUICK) > untrained + 0.06
    assert torch.equal(victim.state_dict()["hash.weight"], before)
    assert [each.stride() for each in victim.parameters()] == strides
    right(dataclasses.replace(QUICK, updates=1, project=False))  # in the budget all the same


def test_the_same_generator_is_trained_once(conv, known, tmp_path):
    victim, told = conv(dtype=torch.float32), Told()
    keep = TrainedParts(tmp_path / "trained", told)
    few = dataclasses.replace(QUICK, updates=3)

    def weights(options=few, keep=keep, **more):
        made = train_generator(victim, known, budget=EPS, options=options, keep=keep, **more)
        return torch.cat([each.flatten() for each in made.state_dict().values()])

    first = weights()
    assert torch.equal(weights(), first) and len(told.lines) == 2
    assert torch.equal(weights(keep=None), first)  # what is read is what is trained
    files = sorted((tmp_path / "trained").glob("generator-*"))
    assert len(files) == 1
    assert not torch.equal(weights(dataclasses.replace(few, rate=0.01)), first)
    assert not torch.equal(weights(seed=1), first)
    victim.hash.weight.data *= 2
    assert not torch.equal(weights(), first)
    assert len(list((tmp_path / "trained").glob("generator-*"))) == 4


@pytest.mark.parametrize("adversarial", [0.0, 1.0])
def test_an_interrupted_training_goes_on_where_it_was(
    adversarial, conv, known, tmp_path, monkeypatch
):
    monkeypatch.setattr(generator_training, "KEPT_EVERY", 2)
    few = dataclasses.replace(QUICK, updates=5, adversarial=adversarial)
    victim, told = conv(dtype=torch.float32), Told()
    keep = TrainedParts(tmp_path, told)
    more = {"budget": EPS, "options": few}
    whole = train_generator(victim, known, **more)
    step, taken = Lesson.step, []

    def stopped(self, drawn, *rest):
        taken.append(drawn.clean)
        if len(taken) == 5:
            raise KeyboardInterrupt
        step(self, drawn, *rest)

    monkeypatch.setattr(Lesson, "step", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_generator(victim, known, keep=keep, **more)
    again = train_generator(victim, known, keep=keep, **more)
    assert len(taken) == 6 and torch.equal(taken[4], taken[5])
    assert not list(tmp_path.glob("*.part"))
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_an_unfinished_training_that_is_damaged_begins_anew(conv, known, tmp_path):
    told = Told()
    kept = TrainedParts(tmp_path, told).unfinished("net", {"seed": 0})
    assert kept.read() is None
    kept.write({"a": torch.ones(2)}, 7)
    assert kept.read()[1] == 7 and torch.equal(kept.read()[0]["a"], torch.ones(2))
    assert dataclasses.replace(kept, known="other").read() is None
    whole = kept.file.read_bytes()
    for damaged in (whole[:-3], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        kept.file.write_bytes(damaged)
        assert kept.read() is None and "is damaged" in told.lines[-1]


@pytest.mark.parametrize("damage", ["cut", "a bit", "other weights", "not a file of weights"])
def test_a_damaged_file_is_trained_anew(damage, tmp_path):
    told, trained = Told(), []

    def net():
        torch.manual_seed(0)
        return torch.nn.Linear(3, 2)

    def train(net):
        trained.append(0)
        net.weight.data += 1

    keep = TrainedParts(tmp_path, told)
    right = keep.get("net", {"seed": 0}, net(), train).weight
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    if damage == "a bit":
        content[-3] ^= 64
    elif damage == "other weights":
        keep.get("net", {"seed": 1}, net(), train)
        content = next(each for each in tmp_path.iterdir() if each != file).read_bytes()
    file.write_bytes({"cut": content[:-9], "not a file of weights": b"{}"}.get(damage, content))
    trained.clear()
    assert torch.equal(keep.get("net", {"seed": 0}, net(), train).weight, right)
    assert trained == [0] and len(told.lines) == 1
    assert str(file) in told.lines[0] and "trained anew" in told.lines[0]
    assert torch.equal(keep.get("net", {"seed": 0}, net(), train).weight, right)
    assert trained == [0]


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path):
    told = Told()
    (tmp_path / "file").write_text("")
    keep = TrainedParts(tmp_path / "file" / "trained", told)
    net = torch.nn.Linear(2, 2)
    assert keep.get("net", {}, net, lambda _: None) is net
    assert "net is not kept" in told.lines[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"updates": 0}, "updates must be at least 1; got 0"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"pictures": 0}, "pictures must be at least 1"),
        ({"rate": 0.0}, "rate must be above 0; got 0"),
        ({"rate": float("nan")}, "rate must be above 0; got nan"),
        ({"alpha": 0.0}, "alpha must be above 0; got 0"),
        ({"rec": -1.0}, "rec must be 0 or above; got -1"),
        ({"hamming": float("inf")}, "hamming must be 0 or above; got inf"),
        ({"size": "large"}, "size must be small or published; got 'large'|size"),
    ],
)
def test_malformed_options_are_refused(wrong, message, as_for_users):
    with pytest.raises(HashprobeError, match=message):
        ProsganOptions(**wrong)


def test_what_does_not_fit_is_refused(conv, known, random_images, clip_hasher):
    victim, queries = conv(dtype=torch.float32), Queries(random_images(2).float())
    labels = np.eye(2, dtype=bool)

    def attacked(**parts):
        goal = Goal.targeted(np.ones((2, 16)), **parts)
        prosgan(victim, queries, goal, budget=EPS, options=QUICK)

    with pytest.raises(HashprobeError, match="needs target labels and a generator"):
        attacked(labels=labels)
    with pytest.raises(HashprobeError, match="needs target labels and a generator"):
        attacked(generator=Generator(2, 8))
    with pytest.raises(HashprobeError, match="needs target labels and a generator"):
        attacked(labels=labels, generator=torch.nn.Linear(2, 2))
    with pytest.raises(HashprobeError, match=r"trained for 8/255.*the attack has 96/255"):
        attacked(labels=labels, generator=Generator(2, 8, budget=Budget(8 / 255)))
    with pytest.raises(HashprobeError, match=r"over 2 classes .* a generator of 3 classes"):
        attacked(labels=labels, generator=Generator(3, 8))
    bare = Codes(known.packed, known.labels)
    with pytest.raises(HashprobeError, match="trained on pictures of the database, and there are"):
        train_generator(victim, bare, options=QUICK)
    with pytest.raises(HashprobeError, match="has no labels"):
        train_generator(victim, Codes(known.packed), options=QUICK, pictured=known)
    short = Codes.of(known.packed.signs()[:, :8], known.labels, pictures=known.pictures)
    with pytest.raises(HashprobeError, match="codes of 8 bits, the victim of 16"):
        train_generator(victim, short, options=QUICK)
    with pytest.raises(HashprobeError, match="are clips"):
        train_generator(clip_hasher(), known, options=QUICK)
