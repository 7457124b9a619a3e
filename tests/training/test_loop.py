"""What the training loop does; test_resume is about kills."""

import logging

import numpy as np
import pytest
import torch

from hashprobe.errors import HashprobeError
from hashprobe.training.loop import Epoch, train
from hashprobe.training.losses.dph import dph
from hashprobe.training.losses.registry import LOSSES
from hashprobe.training.options import TrainOptions
from hashprobe.training.sampling import hold_out


def weights(hasher):
    return {key: value.clone() for key, value in hasher.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in first.keys() | second.keys())


def options(**other):
    base = {"epochs": 2, "batch_size": 10, "held_out": 0, "augment": "none"}
    return TrainOptions(**(base | other))


@pytest.mark.parametrize("loss", ["dph", "dpsh"])
@pytest.mark.parametrize("optimiser", [{"optimiser": "sgd", "lr": 0.1}, {"optimiser": "adamw"}])
def test_codes_of_a_class_come_together(small, pictures, loss, optimiser):
    images, labels = pictures(80)
    hasher = small()
    history = train(hasher, images, labels, options(epochs=5, loss=loss, **optimiser))
    assert [e.number for e in history] == [1, 2, 3, 4, 5]
    assert history[-1].loss < 0.7 * history[0].loss
    assert not hasher.training
    codes = hasher(images.float() / 255).sign()
    agreement = codes @ codes.T / 8
    alike = torch.from_numpy(labels @ labels.T)
    assert agreement[alike].mean() > 0.8
    assert agreement[~alike].mean() < 0


def test_one_step_is_the_step_computed_by_hand(tiny, pictures):
    """SGD with momentum and weight decay on DPH against a memory that holds this batch only."""
    images, labels = pictures(6)
    given = {"loss": "dph", "lr": 0.3, "momentum": 0.5, "weight_decay": 0.1, "schedule": "constant"}
    chosen = options(epochs=1, batch_size=6, optimiser="sgd", pair_weights="none", **given)
    hasher, other = tiny(), tiny()
    (epoch,) = train(hasher, images, labels, chosen)
    codes = other(images.float() / 255).tanh()
    loss = dph(codes, codes.detach(), torch.from_numpy(labels @ labels.T))
    assert epoch.loss == pytest.approx(loss.item(), abs=1e-6)
    loss.backward()
    for own, theirs in zip(hasher.parameters(), other.parameters(), strict=True):
        expected = theirs - 0.3 * (theirs.grad + 0.1 * theirs)
        torch.testing.assert_close(own, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("factor", "moves"), [(0.0, False), (1.0, True)])
def test_the_backbone_has_a_rate_of_its_own(tiny, pictures, factor, moves):
    images, labels = pictures(20)
    hasher = tiny()
    before = weights(hasher)
    train(hasher, images, labels, options(backbone_lr=factor))
    after = weights(hasher)
    assert torch.equal(before["features.weight"], after["features.weight"]) != moves
    assert not torch.equal(before["hash.weight"], after["hash.weight"])


@pytest.mark.parametrize("augmented", ["none", "crop-flip"])
def test_the_seed_decides_everything(tiny, pictures, augmented):
    images, labels = pictures(40)
    results = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)
        np.random.seed(noise)
        hasher = tiny(dropout=0.5)
        train(hasher, images, labels, options(seed=seed, augment=augmented))
        results.append(weights(hasher))
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_the_memory_is_indexed_by_position(tiny, pictures):
    """With a rate of 0 the codes never change: after an epoch, row i must be item i's code."""
    images, labels = pictures(33, classes=11)
    hasher = tiny()
    with torch.no_grad():  # balanced bits, so that codes differ
        hasher.hash.bias -= hasher(images.float() / 255).mean(0)
    seen = []

    def measure(queries, database, query_labels, database_labels):
        seen.append((queries, database, query_labels, database_labels))
        return 0.5

    chosen = options(epochs=1, lr=0.0, held_out=3)
    (epoch,) = train(hasher, images, labels, chosen, measure=measure)
    assert epoch.held_out_map == 0.5
    kept, held = hold_out(33, chosen)
    with torch.no_grad():
        logits = hasher(images.float() / 255)
    codes = torch.where(logits >= 0, 1, -1).numpy()
    ((queries, database, query_labels, database_labels),) = seen
    assert len({row.tobytes() for row in codes}) > 5
    np.testing.assert_array_equal(database, codes[kept])
    np.testing.assert_array_equal(queries, codes[held])
    np.testing.assert_array_equal(database_labels, labels[kept])
    np.testing.assert_array_equal(query_labels, labels[held])


def test_the_held_out_part_is_not_trained_on(tiny, pictures):
    images, labels = pictures(40)
    chosen = options(held_out=4)
    _, held = hold_out(40, chosen)
    trained = []
    for brightness in (0, 255):
        images[held] = brightness
        hasher = tiny()
        train(hasher, images, labels, chosen, measure=lambda *given: 0.0)
        trained.append(weights(hasher))
    assert same(*trained)


def test_progress_counts_steps_and_epochs(tiny, pictures):
    images, labels = pictures(25)
    steps, epochs = [], []
    history = train(
        tiny(),
        images,
        labels,
        options(schedule="constant"),
        on_step=lambda done, total, loss: steps.append((done, total, loss)),
        on_epoch=epochs.append,
    )
    assert [step[:2] for step in steps] == [(i, 6) for i in range(1, 7)]
    assert epochs == history
    assert [e.loss for e in history] == [
        pytest.approx(np.mean([loss for _, _, loss in steps[i : i + 3]])) for i in (0, 3)
    ]
    assert 0 <= history[0].seconds <= history[1].seconds
    assert history[0] == Epoch(1, 2, history[0].loss, 0.003, history[0].seconds, None)


def test_the_rate_follows_its_schedule(tiny, pictures):
    images, labels = pictures(20)
    history = train(tiny(), images, labels, options(epochs=3, schedule="step", lr=0.5))
    assert [e.lr for e in history] == pytest.approx([0.5, 0.05, 0.005])
    # With two steps an epoch, the last step starts at half an epoch.
    (last,) = train(tiny(), images, labels, options(epochs=1, schedule="cosine", lr=0.5))
    assert last.lr == pytest.approx(0.25)
    (last,) = train(tiny(), images, labels, options(epochs=1, warmup=2, lr=0.5))
    assert last.lr == pytest.approx(0.125, abs=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_both_precisions_train_and_say_nothing(small, pictures, precision, capfd, caplog):
    images, labels = pictures(40)
    hasher = small()
    with caplog.at_level(logging.DEBUG, logger=""):
        history = train(hasher, images, labels, options(precision=precision))
    assert history[-1].loss < history[0].loss
    assert {p.dtype for p in hasher.parameters()} == {torch.float32}
    assert [r for r in caplog.records if r.name.startswith("lightning")] == []
    assert capfd.readouterr() == ("", "")


def test_bfloat16_is_another_arithmetic(tiny, pictures):
    images, labels = pictures(40)
    results = []
    for precision in ("float32", "bfloat16"):
        hasher = tiny()
        train(hasher, images, labels, options(precision=precision, lr=0.1))
        results.append(weights(hasher))
    assert not same(*results)
    torch.testing.assert_close(
        results[0]["hash.weight"], results[1]["hash.weight"], atol=0.02, rtol=0.1
    )


@pytest.mark.parametrize("batch", [7, 10, 1])
def test_a_last_batch_of_one_borrows_another_item(small, pictures, batch):
    images, labels = pictures(21)
    hasher = small()
    history = train(hasher, images, labels, options(batch_size=batch, epochs=1))
    assert len(history) == 1
    assert all(torch.isfinite(p).all() for p in hasher.parameters())


@pytest.mark.parametrize("loss", list(LOSSES))
@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_a_training_that_diverges_ends_with_one_line_for_every_loss(
    small, pictures, loss, optimiser
):
    images, labels = pictures(20)
    line = r"^the loss became nan in epoch 1, step 2: lower lr \(now 1e\+38\) or train in float32$"
    with pytest.raises(HashprobeError, match=line):
        train(small(), images, labels, options(lr=1e38, loss=loss, optimiser=optimiser))


def test_weights_that_the_last_step_made_infinite_are_not_kept(tiny, pictures, monkeypatch):
    images, labels = pictures(20)
    step, done = torch.optim.SGD.step, []

    def overflowing(optimiser, *given, **more):
        found = step(optimiser, *given, **more)
        done.append(0)
        if len(done) == 2:  # the last one: no loss is computed after it
            with torch.no_grad():
                optimiser.param_groups[0]["params"][0].fill_(torch.inf)
        return found

    monkeypatch.setattr(torch.optim.SGD, "step", overflowing)
    known = {"loss": "dph", "optimiser": "sgd", "schedule": "constant", "pair_weights": "none"}
    with pytest.raises(HashprobeError, match="the weights became inf in epoch 1, step 2: lower lr"):
        train(tiny(), images, labels, options(epochs=1, **known))


def test_minutes_stop_early(tiny, pictures, tmp_path):
    images, labels = pictures(40)
    state = tmp_path / "state.pt"
    seconds = iter(np.arange(100.0, 200.0, 5.0).tolist())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.monotonic", lambda: next(seconds))
        history = train(tiny(), images, labels, options(minutes=0.25), state=state)
    assert [(e.number, e.seconds >= 15, e.whole) for e in history] == [(1, True, False)]
    # Asked again with the same limit, it is done; with more time it ends as if never stopped.
    assert train(tiny(), images, labels, options(minutes=0.25), state=state) == history
    hasher, other = tiny(), tiny()
    resumed = train(hasher, images, labels, options(), state=state)
    whole = train(other, images, labels, options())
    assert same(weights(hasher), weights(other))
    assert [(e.number, e.loss) for e in resumed] == [(e.number, e.loss) for e in whole]
    assert all(e.whole for e in resumed)


@pytest.mark.parametrize(("images_kept", "labels_kept"), [(1, 1), (10, 9), (0, 0)])
def test_too_few_images_or_labels_are_refused(
    tiny, pictures, as_for_users, images_kept, labels_kept
):
    images, labels = pictures(20)
    message = f"got {images_kept} images and {labels_kept} labels"
    with pytest.raises(HashprobeError, match=message):
        train(tiny(), images[:images_kept], labels[:labels_kept], options())


def test_images_of_another_size_are_refused(small, pictures):
    images, labels = pictures(20, size=16)
    with pytest.raises(HashprobeError, match="small takes 8x8 pixels; got 16x16"):
        train(small(), images, labels, options())


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_device_that_is_not_there_is_one_line(tiny, pictures):
    images, labels = pictures(20)
    with pytest.raises(HashprobeError, match="cannot train on 1 x gpu here: ") as caught:
        train(tiny(), images, labels, options(accelerator="gpu"))
    assert "\n" not in str(caught.value)
