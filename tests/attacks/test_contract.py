"""What every attack in ATTACKS must keep; a new attack is tested by being listed there."""

import dataclasses

import pytest
import torch
from hashprobe.optim.session import Session

from hashprobe.attacks.registry import ATTACKS
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget


BUDGETS = [Budget(8 / 255), Budget(0.1, "normalised")]
STEPS = 7


def quick(name, steps=STEPS):
    """The attack's function and default options, with few steps where it has steps."""
    options = ATTACKS[name].options()
    if "steps" in {field.name for field in dataclasses.fields(options)}:
        options = dataclasses.replace(options, steps=steps)
    if not ATTACKS[name].wants_images:
        return ATTACKS[name].run, options

    def run(hasher, images, targets, **given):
        # The image turned upside down: something else, and the same in every batch.
        seen = images.flip(-2) if isinstance(images, torch.Tensor) else images
        return ATTACKS[name].run(hasher, images, targets, target_images=seen, **given)

    return run, options


@pytest.fixture(params=sorted(ATTACKS))
def attack(request):
    return request.param


@pytest.mark.parametrize("n", [1, 3, 8])
@pytest.mark.parametrize("size", [(8, 8), (5, 9)])
@pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: b.space)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_budget_range_dtype_and_device(
    attack, n, size, budget, dtype, conv, random_images, random_signs
):
    run, options = quick(attack)
    images = random_images(n, *size, dtype=dtype)
    before = images.clone()
    hasher = conv(dtype=dtype)
    moved = run(hasher, images, random_signs(n, 16, dtype=dtype), budget=budget, options=options)
    assert (moved.dtype, moved.device, moved.shape) == (dtype, images.device, images.shape)
    assert torch.equal(images, before)
    assert not moved.requires_grad
    assert moved.min() >= 0 and moved.max() <= 1
    unit = torch.ones(3) if budget.space == "pixel" else torch.tensor(hasher.contract.std)
    change = (moved - images).abs().amax((0, 2, 3)) / unit
    assert (change <= budget.eps * (1 + 1e-5)).all()
    assert (change > 0.5 * budget.eps).all()  # it does something in every channel


def test_hasher_is_left_as_it_was(attack, conv, random_images, random_signs):
    run, options = quick(attack)
    hasher = conv().train()
    hasher.features[1].eval()
    hasher.hash.weight.requires_grad_(False)
    hasher.hash.bias.grad = torch.full_like(hasher.hash.bias, 7.0)
    state = {key: value.clone() for key, value in hasher.state_dict().items()}
    modes = [module.training for module in hasher.modules()]
    flags = [weight.requires_grad for weight in hasher.parameters()]
    run(hasher, random_images(2), random_signs(2, 16), budget=BUDGETS[0], options=options)
    after = hasher.state_dict()
    assert all(torch.equal(state[key], after[key]) for key in state)
    assert [module.training for module in hasher.modules()] == modes
    assert [weight.requires_grad for weight in hasher.parameters()] == flags
    grads = [weight.grad for name, weight in hasher.named_parameters() if name != "hash.bias"]
    assert all(grad is None for grad in grads)
    assert (hasher.hash.bias.grad == 7).all()
    assert not hasher._forward_hooks


def test_mode_of_the_hasher_does_not_matter(attack, conv, random_images, random_signs):
    run, options = quick(attack)
    given = (random_images(2), random_signs(2, 16))
    calm = run(conv().eval(), *given, budget=BUDGETS[0], options=options)
    wild = run(conv().train(), *given, budget=BUDGETS[0], options=options)
    assert torch.equal(calm, wild)


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: b.space)
def test_batch_equals_one_by_one_in_any_order(attack, budget, conv, random_images, random_signs):
    run, options = quick(attack, steps=20)
    hasher, images, targets = conv(), random_images(6), random_signs(6, 16)
    ids = [11, 4, 90, 2, 3, 7]

    def attacked(rows):
        return run(
            hasher,
            images[rows],
            targets[rows],
            budget=budget,
            options=options,
            seed=5,
            query_ids=[ids[row] for row in rows],
        )

    together = attacked([0, 1, 2, 3, 4, 5])
    for row in range(6):
        torch.testing.assert_close(attacked([row])[0], together[row], rtol=0, atol=1e-9)
    mixed = torch.cat([attacked([5, 2]), attacked([0, 4, 3, 1])])
    torch.testing.assert_close(mixed, together[[5, 2, 0, 4, 3, 1]], rtol=0, atol=1e-9)


def test_same_seed_same_result(attack, conv, random_images, random_signs):
    run, options = quick(attack)
    given = (conv(), random_images(2), random_signs(2, 16))
    first = run(*given, budget=BUDGETS[0], options=options, seed=1)
    torch.rand(3)  # the global generator plays no part
    assert torch.equal(first, run(*given, budget=BUDGETS[0], options=options, seed=1))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_works_where_the_caller_has_switched_gradients_off(
    attack, mode, conv, random_images, random_signs
):
    run, options = quick(attack)
    hasher = conv()
    with mode():
        images, targets = random_images(2), random_signs(2, 16)
        inside = run(hasher, images, targets, budget=BUDGETS[0], options=options)
    outside = run(hasher, random_images(2), random_signs(2, 16), budget=BUDGETS[0], options=options)
    assert torch.equal(inside.clone(), outside)


def test_steps_are_reported(attack, conv, random_images, random_signs):
    run, options = quick(attack)
    seen = []
    session = Session(batch_size=2, on_step=lambda step, steps: seen.append((step, steps)))
    run(
        conv(),
        random_images(3),
        random_signs(3, 16),
        budget=BUDGETS[0],
        options=options,
        session=session,
    )
    total = 3 * getattr(options, "steps", 1)
    assert {most for _, most in seen} == {total}
    done = [step for step, _ in seen]
    assert done == sorted(set(done)) and done[-1] == total


def test_a_pool_equals_one_by_one(attack, conv, random_images, random_signs):
    """Queries that take the place of others in the network get what they would get alone."""
    run, options = quick(attack, steps=12)
    hasher, images, targets = conv(), random_images(7), random_signs(7, 16)
    given = {"budget": Budget(32 / 255), "options": options, "seed": 3}
    together = run(hasher, images, targets, **given)
    pooled = run(hasher, images, targets, **given, session=Session(batch_size=3))
    torch.testing.assert_close(pooled, together, rtol=0, atol=1e-9)


def test_finished_queries_are_handed_over_once(attack, conv, random_images, random_signs):
    run, options = quick(attack)
    seen = {}

    def on_done(rows, images):
        assert not seen.keys() & set(rows)
        seen.update(zip(rows, images.clone(), strict=True))

    given = (conv(), random_images(5), random_signs(5, 16))
    session = Session(batch_size=2, on_done=on_done)
    moved = run(*given, budget=BUDGETS[0], options=options, session=session)
    assert all(torch.equal(moved[row], image) for row, image in seen.items())
    assert sorted(seen) == ([] if attack == "noise" else list(range(5)))


def test_passes_are_counted_per_query(attack, conv, random_images, random_signs):
    """As an independent spy counts them: rows through the network, whoever they belong to."""

    class Spy(conv):
        rows = 0

        def forward(self, images):
            Spy.rows += len(images)
            return super().forward(images)

    run, options = quick(attack)
    hasher, session = Spy(), Session(batch_size=2)
    with session.counting(hasher, 5):
        run(
            hasher,
            random_images(5),
            random_signs(5, 16),
            budget=BUDGETS[0],
            options=options,
            session=session,
        )
    assert session.forwards.sum() == Spy.rows
    most = getattr(options, "steps", 0)
    assert (session.backwards <= most).all() and (session.forwards <= most + 1).all()
    assert not hasher._forward_hooks


def test_bad_input_is_refused_at_the_door(attack, conv, random_images, random_signs, as_for_users):
    run, options = quick(attack)
    hasher, images, targets = conv(), random_images(2), random_signs(2, 16)
    seen = {
        r"got max 2\.64: already normalised\?$": {"images": images + 1.64},
        "got uint8: divide by 255": {"images": (images * 255).to(torch.uint8)},
        r"shape \(N, 3, H, W\); got \(2, 1, 8, 8\)": {"images": images[:, :1]},
        "got NaN in row 1": {"images": torch.stack([images[0], images[1] * torch.nan])},
        "target codes have 24 bits but the hasher gives 16": {"targets": random_signs(2, 24)},
        "3 target codes for 2 images: give one per image": {"targets": random_signs(3, 16)},
        r"must consist of -1 and \+1 .*; got -?0\.5": {"targets": targets / 2},
    }
    for message, wrong in seen.items():
        given = {"images": images, "targets": targets, **wrong}
        with pytest.raises(HashprobeError, match=message) as caught:
            run(hasher, given["images"], given["targets"], budget=BUDGETS[0], options=options)
        assert "\n" not in str(caught.value)


def test_options_say_which_target_codes_they_want(attack):
    options = ATTACKS[attack].options()
    assert options.n_t >= 1 and options.tie in ("plus", "zero")
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.steps = 1
