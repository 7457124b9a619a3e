"""Trainings against attacks: one step by hand, what they achieve, kills, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence
from torch.nn.functional import logsigmoid

from hashprobe.defenses.trainers import weight_shift
from hashprobe.defenses.trainers._fast import RESCUE
from hashprobe.defenses.trainers._p2s import P2s
from hashprobe.defenses.trainers.base import Aim, Outputs
from hashprobe.defenses.trainers.bit_losses import bit_cross_entropy
from hashprobe.defenses.trainers.bounded import Kept
from hashprobe.defenses.trainers.hardener import hardening
from hashprobe.defenses.trainers.registry import TRAINERS, trainer_named
from hashprobe.errors import HashprobeError
from hashprobe.training.hardening import Batch
from hashprobe.training.loop import train
from hashprobe.training.losses.dph import dph
from hashprobe.training.options import TrainOptions
from hashprobe.training.sampling import hold_out
from hashprobe.victims.features import hash_layer_input
from hashprobe.victims.image import ImageHasher
from hashprobe.workflow.train_step import held_out_map


OPTIONS = {"epochs": 2, "batch_size": 10, "held_out": 0, "loss": "dph", "pair_weights": "none"}
SMALL = {
    "atrdh": {"hidden": 32},
    "label-free": {"clean_weight": 5.0},
    "trades": {"step_size": 0.0375},
    "free": {"steps": 3},
}
"""Options that make a defence quick."""


def options(**other):
    return TrainOptions(**(OPTIONS | {"augment": "none"} | other))


def quick(name, **other):
    made = {"steps": 2, "step_size": None, "eps": 0.05, **SMALL.get(name, {}), **other}
    return hardening(name, **made)


@pytest.mark.parametrize("own", ["vote", "centre"])
def test_one_step_of_p2s_is_the_step_computed_by_hand(own, tiny, pictures):
    images, labels = pictures(6)
    hasher, other = tiny(), tiny()
    given = {
        "n_t": "all",
        "targeted": 0.0,
        "steps": 1,
        "start": "clean",
        "eps": 0.05,
        "weight": 0.7,
        "own": own,
        "push": "margin" if own == "vote" else "product",
    }
    chosen = options(
        epochs=1,
        batch_size=6,
        optimiser="sgd",
        lr=0.3,
        momentum=0,
        weight_decay=0,
        schedule="constant",
    )
    (epoch,) = train(hasher, images, labels, chosen, hardening=hardening("p2s", **given))
    pixels = (images.float() / 255).requires_grad_()
    logits = other(pixels)
    similar = torch.from_numpy(labels @ labels.T)
    signs = logits.detach().sign()
    sums = torch.stack([signs[row].sum(0) for row in similar])
    if own == "centre":
        sums = torch.stack([signs[row].mean(0) - signs[~row].mean(0) for row in similar])
    code = torch.where(sums >= 0, 1.0, -1.0)
    size = logits.detach().abs().mean(1, keepdim=True)
    soft = torch.nn.functional.softplus(0.1 * code * logits / size)
    (soft if own == "vote" else code * logits.tanh()).sum().backward()
    length = 0.05 if own == "vote" else 0.75 * 0.05
    moved = (pixels - length * pixels.grad.sign()).detach().clamp(0, 1)
    other.zero_grad()
    both = other(torch.cat([pixels.detach(), moved]))
    codes = both[:6].tanh()
    loss = dph(codes, codes.detach(), similar) + 0.7 * bit_cross_entropy(both[6:], code).mean()
    assert epoch.loss == pytest.approx(loss.item(), abs=1e-5)
    loss.backward()
    for mine, theirs in zip(hasher.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs - 0.3 * theirs.grad, atol=1e-5, rtol=1e-4)


def test_the_inner_product_keeps_its_gradient_where_logits_are_large():
    z, code = torch.tensor([[3.0, -1.0], [300.0, -100.0]], requires_grad=True), torch.ones(2, 2)
    values = P2s().inner(z, code, torch.zeros(2, 1))
    assert values[0].item() == pytest.approx(-(np.tanh(3) + np.tanh(-1)) / 2, abs=1e-6)
    assert values[1].item() == pytest.approx(-(np.tanh(6) + np.tanh(-2)) / 2, abs=1e-6)
    (slope,) = torch.autograd.grad(values.sum(), z)
    assert (slope < 0).all()


@pytest.fixture(scope="module")
def trained():
    """A place for a network that is trained without a defence, once for all tests."""
    return {}


# ATRDH trains against one other label a time, not against bits that turn over; SAAT is CgAT where
# each item has one label, and fast is P2S in one step.
@pytest.mark.parametrize("name", sorted(set(TRAINERS) - {"atrdh", "saat", "fast"}))
def test_a_training_against_attacks_makes_attacks_weaker(name, tiny, pictures, trained):
    images, labels = pictures(60, classes=3)
    hasher = tiny()
    if not trained:
        train(hasher, images, labels, options(epochs=30, batch_size=30, lr=0.02))
        trained.update({key: value.clone() for key, value in hasher.state_dict().items()})
    hasher.load_state_dict(trained)
    before = turned(hasher, images)
    assert before > 0.2
    chosen = options(epochs=18, batch_size=30, lr=0.03)
    train(hasher, images, labels, chosen, hardening=quick(name))
    assert turned(hasher, images) < 0.6 * before
    codes = hasher(images.float() / 255).sign()
    agreement = codes @ codes.T / 8
    alike = torch.from_numpy(labels @ labels.T)
    assert agreement[alike].mean() > 0.9 and agreement[~alike].mean() < 0


def turned(hasher, images, eps=0.05):
    """Share of bits that ten sign steps turn over."""
    clean = images.float() / 255
    code = torch.where(hasher(clean) >= 0, 1.0, -1.0)
    moved = clean.clone()
    for _ in range(10):
        moved.requires_grad_()
        (slope,) = torch.autograd.grad((code * hasher(moved).tanh()).sum(), moved)
        moved = (
            (moved.detach() - eps / 4 * slope.sign()).clamp(clean - eps, clean + eps).clamp(0, 1)
        )
    return float((torch.where(hasher(moved) >= 0, 1.0, -1.0) != code).float().mean())


@pytest.mark.parametrize("name", ["cgat", "saat", "atrdh", "trades"])
def test_the_outer_loss_is_the_published_formula(name, tiny, pictures):
    images, labels = pictures(12, classes=3)
    made = quick(name, weight=0.5)
    train(tiny(), images, labels, options(epochs=1), hardening=made)
    chance, where = torch.Generator().manual_seed(0), torch.tensor([2, 0, 7, 5])
    clean, moved = (torch.randn(4, 8, generator=chance) for _ in range(2))
    own = torch.randn(4, 8, generator=chance).sign()
    batch = Batch((images[where].float() / 255,), where, 0, chance)
    bench, u = made.bench, moved.tanh()
    loss = made.trainer.outer(bench, batch, Aim(-own, own), Outputs(clean, moved))
    similar = torch.from_numpy(labels @ labels.T)[where]
    wanted = dph(clean.tanh(), bench.memory, similar)
    if name == "atrdh":
        wanted += 0.5 * ((u @ bench.memory.T / 8 - (similar.float() * 2 - 1)) ** 2).mean()
    elif name == "trades":
        both = (Bernoulli(logits=2 * each) for each in (clean, moved))
        wanted += 0.5 * kl_divergence(*both).mean()
    else:
        wanted -= 0.5 * (u * own).mean()
        wanted += 1e-4 * ((u - u.sign()) ** 2).mean() if name == "saat" else 0
    assert float(loss) == pytest.approx(float(wanted), abs=1e-5)


@pytest.mark.parametrize("name", ["crdat", "label-free"])
def test_a_student_learns_what_its_teacher_gives_for_clean_items(name, tiny, pictures):
    images, labels = pictures(12, classes=3)
    given = {"feature_weight": 3.0} if name == "crdat" else {"clean_weight": 5.0, "sharpness": 4.0}
    made = quick(name, weight=0.5, **given)
    train(tiny(), images, labels, options(epochs=1, lr=0.1), hardening=made)
    made.bench.numbers.clear()
    chance, where = torch.Generator().manual_seed(0), torch.tensor([2, 0, 7, 5])
    clean, moved = (torch.randn(4, 8, generator=chance) for _ in range(2))
    pixels, first = images[where].float() / 255, tiny().eval()
    with torch.no_grad(), hash_layer_input(first) as seen:
        z = first(pixels)
    features = torch.randn(seen[0].shape, generator=chance)
    batch = Batch((pixels,), where, 0, chance)
    aim = made.trainer.aim(made.bench, batch)
    torch.testing.assert_close(aim.towards, -z.sign())
    loss = made.trainer.outer(made.bench, batch, aim, Outputs(clean, moved, features))
    if name == "crdat":
        wanted = -0.5 * (moved.tanh() * z.sign()).mean() + 3 * ((features - seen[0]) ** 2).mean()
    else:
        slope = 4 / z.abs().mean()
        sure = torch.sigmoid(slope * z)
        terms = [
            -sure * logsigmoid(slope * u) - (1 - sure) * logsigmoid(-slope * u)
            for u in (moved, clean)
        ]
        wanted = 0.5 * terms[0].mean() + 5 * terms[1].mean()
    assert float(loss) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("name", sorted(TRAINERS))
def test_statistics_of_batch_normalisation_follow_the_training(name, small, pictures):
    """Label-free alone trains in evaluation mode, so that clean codes change less."""
    images, labels = pictures(20)
    hasher = small()
    before = {k: v.clone() for k, v in hasher.state_dict().items() if "running_mean" in k}
    assert before
    train(hasher, images, labels, options(epochs=1), hardening=quick(name))
    now = hasher.state_dict()
    moved = [not torch.equal(now[key], value) for key, value in before.items()]
    assert all(moved) if name != "label-free" else not any(moved)


def scored(queries, database, query_labels, labels):
    """MAP of signs by a loop over queries."""
    found = []
    for code, own in zip(queries, query_labels, strict=True):
        order = np.argsort(-(database.astype(int) @ code), kind="stable")
        hits = (labels[order] & own).any(1)
        ranks = np.flatnonzero(hits)
        found.append(np.mean((np.arange(len(ranks)) + 1) / (ranks + 1)))
    return float(np.mean(found))


class Ruin(P2s):
    """Gives every item the same code."""

    def outer(self, bench, batch, aim, outputs):
        return ((outputs.clean - 3) ** 2).mean()


@pytest.mark.parametrize("most", [0.0, 20.0, 100.0])
def test_a_bound_on_the_clean_loss_holds_on_held_out_items(most, tiny, pictures):
    images, labels = pictures(60)
    hasher = tiny()
    given = options(epochs=8, batch_size=27, lr=0.05, held_out=6)
    train(hasher, images, labels, given, measure=scored)
    first = {key: value.clone() for key, value in hasher.state_dict().items()}
    made, said = hardening(Ruin(steps=1, most_loss=most)), []
    made.tell = said.append
    hard = options(epochs=8, batch_size=27, lr=0.1, held_out=6)
    train(hasher, images, labels, hard, measure=scored, hardening=made)
    kept, held = made.kept, hold_out(60, hard)[1]
    assert kept.start - kept.end > 0.2
    rest = np.setdiff1d(np.arange(60), held)
    codes = np.where(hasher(images.float() / 255).detach().numpy() >= 0, 1, -1)
    now = scored(codes[held], codes[rest], labels[held], labels[rest])
    assert now == pytest.approx(kept.kept) and now >= kept.start - most / 100
    assert said == [str(kept)]
    assert kept.share == 1 if most == 100 else kept.share < 1
    if most == 0 and kept.share == 0:
        assert all(torch.equal(first[k], v) for k, v in hasher.state_dict().items())


def test_options_that_are_as_before_are_those_of_runs_that_knew_none():
    first = quick("p2s", own="vote", push="margin").to_json()
    assert not {"most_loss", "own", "push"} & set(first)
    assert quick("p2s").to_json()["own"] == "centre" and "own" not in quick("fast").to_json()
    assert quick("p2s", most_loss=0.0).to_json()["most_loss"] == 0
    said = {"steps": 3, "momentum": 0.6, "start": "warm", "n_t": 9, "targeted": 0.5}
    free = hardening("free").to_json()  # what it does has not changed, nor what it is named by
    assert not {"own", "push"} & set(free) and said.items() <= free.items()


def test_defaults_are_those_of_the_version_that_began_a_training():
    first = P2s(own="vote", push="margin", steps=3, momentum=0.6)
    there = first.to_json()
    assert P2s().as_begun(there) == P2s(own="vote").as_begun(there) == first
    short = {**there, "steps": 1, "eps": 0.1}
    assert P2s(steps=1, eps=0.1).as_begun(short) == replace(first, steps=1, eps=0.1)
    for other in (P2s(steps=4), trainer_named("saat")):
        assert other.as_begun(there).to_json() != there
    for now in (P2s(own="vote"), P2s(push="margin"), P2s()):
        assert P2s().as_begun(now.to_json()) == P2s()
    assert P2s().as_begun({}) == P2s()


def test_a_bound_needs_held_out_items(tiny, pictures):
    images, labels = pictures(20)
    with pytest.raises(HashprobeError, match="held-out items with labels, and there are none"):
        train(tiny(), images, labels, options(), hardening=quick("p2s", most_loss=5.0))
    with pytest.raises(HashprobeError, match="most_loss must be 0 to 100; got -1"):
        quick("saat", most_loss=-1.0)


def test_several_processes_say_what_they_keep(pictures):
    """The numbers come back with the weights, and the line is said once."""
    images, labels = pictures(30)
    made, said, hasher = quick("p2s", steps=1, most_loss=0.0), [], ImageHasher("small", 8, size=8)
    made.tell = said.append
    several = options(epochs=1, held_out=6, lr=0.1, devices=2, accelerator="cpu")
    (epoch,) = train(hasher, images, labels, several, measure=held_out_map, hardening=made)
    assert isinstance(made.kept, Kept) and made.kept.kept >= made.kept.start
    assert said == [str(made.kept)]
    assert made.tell == said.append and epoch.held_out_map is not None


@pytest.mark.parametrize("start", ["random", "warm"])
def test_clips_are_attacked_in_their_own_frames_alone(start, clip_hasher, clips8, lengths):
    labels, made, seen = np.arange(2) == np.arange(5)[:, None] % 2, quick("p2s", start=start), []
    outputs = made.outputs
    made.outputs = lambda *given: (seen.append(given[1:]), outputs(*given))[1]
    chosen = options(epochs=2, batch_size=5, lr=0.01, augment="crop")
    (_, last) = train(clip_hasher(), clips8, labels, chosen, lengths=lengths, hardening=made)
    assert np.isfinite(last.loss)
    (_, _), (batch, moved) = seen
    shift = (moved - batch.given[0]).abs()
    assert 0.04 < shift.max() < 0.0501
    for row, length in zip(shift, batch.given[1].tolist(), strict=True):
        assert (row[length:] == 0).all() and (row[:length].flatten(1).amax(1) > 0).all()


class Killed(Exception):
    pass


@pytest.mark.parametrize("stop", [None, 2])
def test_a_bound_that_nothing_else_meets_keeps_the_network_of_the_start(
    small, pictures, tmp_path, stop
):
    """With its statistics of batch normalisation, and after a kill, too."""
    images, labels = pictures(30)
    given = options(held_out=6, lr=0.1, save_seconds=0.0)

    def run(stop_at):
        hasher, made = small(), quick("p2s", most_loss=0.0)
        first = {k: v.clone() for k, v in hasher.state_dict().items() if v.is_floating_point()}

        def unchanged(*_):
            now = hasher.state_dict()
            return float(all(torch.equal(now[key], value) for key, value in first.items()))

        def on_step(done, total, loss):
            if done == stop_at:
                raise Killed

        how = {"state": tmp_path / "state", "measure": unchanged, "on_step": on_step}
        train(hasher, images, labels, given, hardening=made, **how)
        assert unchanged() and made.kept == Kept(0.0, 1.0, 0.0, 1.0)

    if stop is not None:
        with pytest.raises(Killed):
            run(stop)
    run(None)


@pytest.mark.parametrize("name", ["p2s", "atrdh", "label-free"])
def test_a_killed_training_ends_in_the_same_weights(name, small, pictures, tmp_path):
    images, labels = pictures(30)
    chosen = options(augment="crop-flip", save_seconds=0.0)
    defence = {"start": "warm", "awp": 0.01}

    def run(state, stop_at=None):
        def on_step(done, total, loss):
            if done == stop_at:
                raise Killed

        hasher = small()
        train(
            hasher,
            images,
            labels,
            chosen,
            state=state,
            on_step=on_step,
            hardening=quick(name, **defence),
        )
        return hasher.state_dict()

    whole = run(None)
    with pytest.raises(Killed):
        run(tmp_path / "state", stop_at=4)
    resumed = run(tmp_path / "state")
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())


def test_warm_starts_go_on_where_the_last_attack_ended(tiny, pictures):
    """With steps of no length, the network sees what was kept, crop for crop."""
    images, labels = pictures(12)
    made = quick("p2s", start="warm", step_size=1e-5, steps=1, momentum=0.0)
    train(tiny(), images, labels, options(epochs=1, augment="crop", batch_size=12), hardening=made)
    assert made.warm.shifts.shape == (12, 3, 10, 10)
    made.warm.shifts.random_(-127, 128)
    kept, seen, batches = made.warm.shifts.clone(), [], []
    looked, outputs = made.warm.of_batch, made.outputs
    made.warm.of_batch = lambda batch: (batches.append(batch), looked(batch))[1]
    made.outputs = lambda *given: (seen.append(given[2]), outputs(*given))[1]
    made.begin = lambda training, fabric: None  # keeps what it has
    again = options(epochs=1, augment="crop", batch_size=12, seed=5)
    train(tiny(), images, labels, again, hardening=made)
    (batch,), (attacked,) = batches, seen
    shift = batch.crops.of(kept[batch.where]).float() * 0.05 / 127
    wanted = (batch.given[0] + shift).clamp(0, 1)
    torch.testing.assert_close(attacked, wanted, atol=2e-5, rtol=0)


def test_single_steps_that_break_down_are_seen(tiny, pictures):
    images, labels = pictures(20)
    made = quick("fast", steps=1)
    train(tiny(), images, labels, options(epochs=1), hardening=made)
    told, made.tell = [], lambda line: told.append(line)
    trainer, bench = made.trainer, made.bench
    bench.numbers.clear()
    assert trainer.look(bench, lambda steps, length: 0.3) is None
    assert trainer.steps_now(bench) == (1, 1.25 * 0.05)
    broken = trainer.look(bench, lambda steps, length: 0.3 if steps == 10 else 0.05)
    assert "ten steps turn over 30% of the bits and 1 only 5%" in broken
    assert bench.numbers[RESCUE] and trainer.steps_now(bench) == (3, None)
    assert trainer.look(bench, lambda steps, length: steps / 20) is None  # said once
    assert 0 <= made.turned(3, None) <= 1


def test_weights_are_put_back_after_a_perturbed_update(tiny):
    hasher = tiny()
    before = {name: value.clone() for name, value in hasher.state_dict().items()}
    pixels = torch.rand(4, 3, 8, 8)
    with (
        pytest.raises(RuntimeError, match="stop"),
        weight_shift.shifted(hasher, lambda: hasher(pixels).square().sum(), 0.05),
    ):
        moved = hasher.hash.weight - before["hash.weight"]
        assert float(moved.detach().norm() / before["hash.weight"].norm()) == pytest.approx(
            0.05, rel=1e-4
        )
        assert torch.equal(hasher.hash.bias, before["hash.bias"])
        raise RuntimeError("stop")
    assert all(torch.equal(value, before[name]) for name, value in hasher.state_dict().items())


@pytest.mark.parametrize("awp", [0.0, 0.02])
def test_perturbed_weights_leave_no_trace_in_memory_and_statistics(awp, small, pictures):
    images, labels = pictures(12)
    made, seen, near = quick("p2s", awp=awp), [], {"atol": 2e-4, "rtol": 1e-3}
    update = made.update

    def watched(fabric, model, optimiser, batch, given):
        twin = small().train()
        twin.load_state_dict(made.bench.hasher.state_dict())
        value = update(fabric, model, optimiser, batch, given)
        with torch.no_grad():
            logits = twin(torch.cat([batch.given[0], given[1]]))[: len(batch)]
        training = made.bench.training
        torch.testing.assert_close(training.memory[batch.where], training.codes_of(logits), **near)
        for name, buffer in training.hasher.named_buffers():
            torch.testing.assert_close(buffer, twin.get_buffer(name), **near)
        seen.append(len(batch))
        return value

    made.update = watched
    train(small(), images, labels, options(batch_size=6), hardening=made)
    assert seen == [6] * 4


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("saat", {"eps": 32 / 255, "step_size": 2 / 255, "steps": 7}, "7 inner steps of 2/255"),
        ("fast", {"eps": 32 / 255, "step_size": 10 / 255, "steps": 1}, "1 inner step of 10/255"),
        ("saat", {"eps": 8 / 255, "step_size": 2 / 255, "steps": 4}, None),
        ("saat", {"eps": 32 / 255, "steps": 7}, None),
        ("p2s", {"eps": 32 / 255}, None),
        ("free", {"eps": 32 / 255}, None),
        ("label-free", {"eps": 32 / 255}, None),
    ],
)
def test_steps_that_are_too_short_for_eps_are_said(name, given, said, tiny, pictures):
    images, labels = pictures(6)
    lines, made = [], hardening(name, **given)
    made.tell = lines.append
    train(tiny(), images, labels, options(epochs=1, batch_size=6), hardening=made)
    short = [line for line in lines if "cannot cross eps" in line]
    assert [said in line for line in short] == ([True] if said else [])
    assert not short or "cannot cross eps, 32/255: take a larger step_size" in short[0]


class Counting(ImageHasher):
    """A network that counts its passes in training mode."""

    passes = 0

    def forward(self, images):
        self.passes += self.training
        return super().forward(images)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_inner_attack_runs_in_the_mode_that_is_asked_for(mode, pictures):
    images, labels = pictures(12)
    hasher = Counting("small", 8, size=8)
    before = {k: v.clone() for k, v in hasher.state_dict().items() if "running_mean" in k}
    made, seen = quick("saat", attack_mode=mode, steps=3), []
    update = made.update

    def watched(*given):
        now = hasher.state_dict()
        untouched = all(torch.equal(now[key], value) for key, value in before.items())
        seen.append((hasher.passes, untouched))
        return update(*given)

    made.update = watched
    train(hasher, images, labels, options(epochs=1, batch_size=12), hardening=made)
    ((passes, untouched),) = seen
    assert (passes >= 3) == (mode == "train") and passes in (0, 3, 4)
    assert before and untouched
    assert ("attack_mode" in made.to_json()) == (mode == "train")


@pytest.mark.parametrize(("n_t", "lone"), [(1, True), (3, False), ("all", True)])
def test_p2s_drives_items_to_labels_with_enough_voters(n_t, lone, tiny, pictures):
    """Of three labels one has a single item, whose code no other item has."""
    images, _ = pictures(13)
    labels = np.arange(3) == np.array([0] * 6 + [1] * 6 + [2])[:, None]
    made = quick("p2s", n_t=n_t, targeted=1.0)
    train(tiny(), images, labels, options(epochs=1, batch_size=13), hardening=made)
    made.bench.training.memory = torch.ones(13, 8)
    made.bench.training.memory[12] = -1
    where = torch.arange(12).repeat(4)
    batch = Batch((images[where].float() / 255,), where, 0, torch.Generator().manual_seed(0))
    towards = made.trainer.aim(made.bench, batch).towards
    assert bool((towards == -1).all(1).any()) == lone and (towards == 1).all(1).any()


@pytest.mark.parametrize("prototypes", ["vote", "network"])
def test_atrdh_can_do_without_a_prototype_network(prototypes, tiny, pictures):
    images, labels = pictures(12, classes=3)
    made = quick("atrdh", prototypes=prototypes)
    train(tiny(), images, labels, options(epochs=1), hardening=made)
    bench, where = made.bench, torch.tensor([2, 0, 7, 5])
    assert len(bench.networks) == len(bench.optimisers) == (prototypes == "network")
    chance = torch.Generator().manual_seed(0)
    bench.training.memory = torch.randn(12, 8, generator=chance)
    batch = Batch((images[where].float() / 255,), where, 0, chance)
    aim = made.trainer.aim(bench, batch)
    signs = bench.memory.sign()
    votes = {
        tuple(torch.where(signs[labels[:, kind]].sum(0) >= 0, 1.0, -1.0).tolist()): kind
        for kind in range(3)
    }
    assert len(votes) > 1
    if prototypes == "vote":
        for goal, own in zip(aim.towards, labels[where], strict=True):
            others = [code for code, kind in votes.items() if not own[kind]]
            assert tuple(goal.tolist()) in others
    for code, own in zip(aim.own, labels[where], strict=True):
        wanted = torch.where(signs[labels @ own].sum(0) >= 0, 1.0, -1.0)
        assert torch.equal(code, wanted)


@pytest.mark.parametrize("name", ["label-free", "crdat", "saat"])
def test_how_many_clean_bits_changed_is_said_where_there_is_a_teacher(name, small, pictures):
    images, labels = pictures(12)
    hasher, before, lines, made = small(), small().eval(), [], quick(name)
    made.tell = lines.append
    train(hasher, images, labels, options(lr=0.03), hardening=made)
    said = [line for line in lines if "bits of clean items changed" in line]
    if name == "saat":
        assert not said
        return
    moved = (hasher(images / 255) >= 0) != (before(images / 255) >= 0)
    assert moved.any()
    wanted = f"{float(moved.float().sum(1).mean()):.2f} of 8 bits of clean items changed"
    assert said == [f"{wanted}, a mean over the first 12 training items"]


def test_labels_are_not_needed_where_none_are_used(small, pictures):
    images, _ = pictures(20)
    none = np.zeros((20, 0), bool)
    assert len(train(small(), images, none, options(), hardening=quick("label-free"))) == 2
    with pytest.raises(
        HashprobeError, match="p2s needs labels, and there are none: take label-free"
    ):
        train(small(), images, none, options(), hardening=quick("p2s"))


def test_what_cannot_be_hardened_is_refused(tiny, pictures):
    images, labels = pictures(20)
    hasher = tiny().requires_grad_(False)
    with pytest.raises(HashprobeError, match="no weights that can be trained"):
        train(hasher, images, labels, options(), hardening=quick("p2s"))
    with pytest.raises(HashprobeError, match="features that are computed once"):
        train(tiny(), images.float(), labels, options(), hardening=quick("p2s"))


@pytest.mark.parametrize(
    "other",
    [
        {"eps": 0.0},
        {"eps": 1.5},
        {"steps": 0},
        {"start": "cold"},
        {"awp": 0.5},
        {"weight": -1.0},
        {"weight": float("nan")},
        {"momentum": 1.0},
        {"n_t": 0},
        {"targeted": 2.0},
        {"n_t": "some"},
        {"own": "mean"},
        {"push": "pull"},
    ],
)
def test_options_out_of_range_are_refused(other, as_for_users):
    with pytest.raises(HashprobeError, match=next(iter(other))):
        trainer_named("p2s", **other)
