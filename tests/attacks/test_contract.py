"""What every attack in ATTACKS must keep on images; a new attack is tested by being listed there.

The checks are functions that take an attack's name: a test runs each for every attack that is
registered, and for one that a test registers itself.
"""

import dataclasses
from dataclasses import dataclass

import pytest
import torch

from hashprobe.attacks.contract import Attack
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import ATTACKS, register, unregister
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget, Runtime
from hashprobe.victims.passes import PassCounter


BUDGETS = [Budget(8 / 255), Budget(0.1, "normalised")]


@dataclass(frozen=True)
class ToyOptions:
    """Options of an attack that is registered by a test alone."""

    steps: int = 5


def toy(victim, queries, goal, *, budget, options, seed=0, runtime=Runtime()):
    """Steps along the sign of the gradient of b z, as an attack of one's own would."""
    from hashprobe.optim.attempts import solve
    from hashprobe.optim.rule import UpdateRule

    unit = budget.eps / options.steps
    rule = UpdateRule(
        lambda z, b, _: -(b * z).mean(1), lambda g, _: -unit * g.sign(), steps=options.steps
    )
    codes = goal.codes_for(queries.pixels, victim.bits)
    return solve(victim, queries, codes, rule, budget=budget, seed=seed, runtime=runtime)


@pytest.fixture(params=[*sorted(ATTACKS), "toy"])
def attack(request):
    """The name of an attack; the toy is known only while its tests run."""
    if request.param != "toy":
        yield request.param
        return
    register(Attack("toy", toy, ToyOptions, title="Toy"))
    yield "toy"
    unregister("toy")


@pytest.fixture
def run(attack, quick, goal_of):
    """Attacks queries towards codes."""

    def call(victim, queries, codes, *, budget=BUDGETS[0], steps=7, seed=0, **runtime):
        return ATTACKS[attack].run(
            victim,
            queries,
            goal_of(attack, queries, codes),
            budget=budget,
            options=quick(attack, steps),
            seed=seed,
            runtime=Runtime(**runtime),
        )

    return call


@pytest.mark.parametrize(("n", "size"), [(1, (8, 8)), (3, (5, 9)), (8, (8, 8))])
@pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: b.space)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_budget_range_dtype_and_device(
    run, n, size, budget, dtype, conv, random_images, random_signs
):
    images = random_images(n, *size, dtype=dtype)
    before, victim = images.clone(), conv(dtype=dtype)
    moved = run(victim, Queries(images), random_signs(n, 16), budget=budget)
    assert (moved.dtype, moved.device, moved.shape) == (dtype, images.device, images.shape)
    assert torch.equal(images, before)
    assert not moved.requires_grad
    assert moved.min() >= 0 and moved.max() <= 1
    unit = torch.ones(3) if budget.space == "pixel" else torch.tensor(victim.contract.std)
    change = (moved - images).abs().amax((0, 2, 3)) / unit
    assert (change <= budget.eps * (1 + 1e-5)).all()
    assert (change > 0.5 * budget.eps).all()  # it does something in every channel


def test_victim_is_left_as_it_was(run, conv, random_images, random_signs):
    victim = conv().train()
    victim.features[1].eval()
    victim.hash.weight.requires_grad_(False)
    victim.hash.bias.grad = torch.full_like(victim.hash.bias, 7.0)
    state = {key: value.clone() for key, value in victim.state_dict().items()}
    modes = [module.training for module in victim.modules()]
    flags = [weight.requires_grad for weight in victim.parameters()]
    run(victim, Queries(random_images(2)), random_signs(2, 16))
    after = victim.state_dict()
    assert all(torch.equal(state[key], after[key]) for key in state)
    assert [module.training for module in victim.modules()] == modes
    assert [weight.requires_grad for weight in victim.parameters()] == flags
    grads = [weight.grad for name, weight in victim.named_parameters() if name != "hash.bias"]
    assert all(grad is None for grad in grads)
    assert (victim.hash.bias.grad == 7).all()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in victim.modules())


def test_mode_of_the_victim_does_not_matter(run, conv, random_images, random_signs):
    given = (Queries(random_images(2)), random_signs(2, 16))
    assert torch.equal(run(conv().eval(), *given), run(conv().train(), *given))


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: b.space)
def test_batch_equals_one_by_one_in_any_order(run, budget, conv, random_images, random_signs):
    victim, images, targets = conv(), random_images(4), random_signs(4, 16)
    ids = [11, 4, 90, 2]

    def attacked(rows):
        queries = Queries(images[rows], tuple(ids[row] for row in rows))
        return run(victim, queries, targets[rows], budget=budget, steps=10, seed=5)

    together = attacked([0, 1, 2, 3])
    for row in range(4):
        torch.testing.assert_close(attacked([row])[0], together[row], rtol=0, atol=1e-9)
    mixed = torch.cat([attacked([2]), attacked([3, 0, 1])])
    torch.testing.assert_close(mixed, together[[2, 3, 0, 1]], rtol=0, atol=1e-9)


def test_same_seed_same_result(run, conv, random_images, random_signs):
    given = (conv(), Queries(random_images(2)), random_signs(2, 16))
    first = run(*given, seed=1)
    torch.rand(3)  # the global generator plays no part
    assert torch.equal(first, run(*given, seed=1))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_works_where_the_caller_has_switched_gradients_off(
    run, mode, conv, random_images, random_signs
):
    victim = conv()
    with mode():
        inside = run(victim, Queries(random_images(2)), random_signs(2, 16))
    outside = run(victim, Queries(random_images(2)), random_signs(2, 16))
    assert torch.equal(inside.clone(), outside)


def most_of(options, without):
    """Steps of a descent, or queries to a service; some attacks have neither."""
    return getattr(options, "steps", getattr(options, "query_budget", without))


class Keeper:
    """Watches an attack."""

    def __init__(self):
        self.steps, self.images = [], {}

    def step(self, done, most):
        self.steps.append((done, most))

    def finished(self, rows, images):
        assert not self.images.keys() & set(rows)
        self.images |= dict(zip(rows, images.clone(), strict=True))


def test_steps_are_reported(attack, run, quick, conv, random_images, random_signs):
    keeper = Keeper()
    run(conv(), Queries(random_images(3)), random_signs(3, 16), batch_size=2, watch=keeper)
    total = 3 * most_of(quick(attack), 1)
    assert {most for _, most in keeper.steps} == {total}
    done = [step for step, _ in keeper.steps]
    assert done == sorted(set(done)) and done[-1] == total


def test_a_pool_equals_one_by_one(run, conv, random_images, random_signs):
    """Queries that take the place of others in the network get what they would get alone."""
    given = (conv(), Queries(random_images(7)), random_signs(7, 16))
    more = {"budget": Budget(32 / 255), "steps": 12, "seed": 3}
    pooled = run(*given, **more, batch_size=3)
    torch.testing.assert_close(pooled, run(*given, **more), rtol=0, atol=1e-9)


def test_finished_queries_are_handed_over_once(attack, run, conv, random_images, random_signs):
    keeper = Keeper()
    given = (conv(), Queries(random_images(5)), random_signs(5, 16))
    moved = run(*given, batch_size=2, watch=keeper)
    assert all(torch.equal(moved[row], image) for row, image in keeper.images.items())
    assert sorted(keeper.images) == ([] if attack == "noise" else list(range(5)))


def test_passes_are_counted_per_query(attack, run, quick, conv, random_images, random_signs):
    """As an independent spy counts them: rows through the network, whoever they belong to."""

    class Spy(conv):
        rows = 0

        def forward(self, images):
            Spy.rows += len(images)
            return super().forward(images)

    victim, counter = Spy(), PassCounter(5)
    with counter.counting(victim):
        run(victim, Queries(random_images(5)), random_signs(5, 16), batch_size=2)
    # One row through the victim and one through its folded copy belong to no query.
    compared = 2 if attack == "bit-margin" else 0
    assert counter.forwards.sum() == Spy.rows - compared
    most = most_of(quick(attack), 0)
    assert (counter.backwards <= most).all() and (counter.forwards <= most + 1).all()
    assert not victim._forward_hooks


def test_bad_input_is_refused_at_the_door(
    attack, run, conv, random_images, random_signs, as_for_users
):
    victim, images, targets = conv(), random_images(2), random_signs(2, 16)
    wrong_images = {
        r"got max 2\.64: already normalised\?$": images + 1.64,
        "uint8.*divide by 255": (images * 255).to(torch.uint8),
        r"3, H, W\).*\(2, 1, 8, 8\)": images[:, :1],
        "got NaN in row 1": torch.stack([images[0], images[1] * torch.nan]),
    }
    for message, wrong in wrong_images.items():
        with pytest.raises(HashprobeError, match=message) as caught:
            run(victim, Queries(wrong), targets)
        assert "\n" not in str(caught.value)
    with pytest.raises(HashprobeError, match=r"must consist of -1 and \+1 .*; got -?0\.5"):
        Goal.targeted(targets / 2)
    # Whoever steers to codes says what is wrong with them.
    if ATTACKS[attack].needs != {"gradients"} or ATTACKS[attack].goal == "untargeted":
        return
    wrong_codes = {
        "target codes have 24 bits but the victim gives 16": random_signs(2, 24),
        "3 target codes for 2 images: give one per image": random_signs(3, 16),
    }
    for message, wrong in wrong_codes.items():
        with pytest.raises(HashprobeError, match=message):
            run(victim, Queries(images), wrong)
    with pytest.raises(HashprobeError, match="this attack needs target codes"):
        ATTACKS[attack].run(
            victim,
            Queries(images),
            Goal.untargeted(),
            budget=BUDGETS[0],
            options=ATTACKS[attack].options(),
        )


def test_a_rule_about_frames_is_refused_for_images(run, conv, random_images, random_signs):
    for rule in ({"frames": 2}, {"shared": True}):
        with pytest.raises(HashprobeError, match="frames and shared are for clips; got images"):
            run(
                conv(),
                Queries(random_images(2)),
                random_signs(2, 16),
                budget=Budget(8 / 255, **rule),
            )


def test_options_are_frozen_and_say_which_target_codes_they_want(attack):
    options = ATTACKS[attack].options()
    assert options == ATTACKS[attack].options()
    for field in dataclasses.fields(options):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(options, field.name, 1)
    if ATTACKS[attack].goal == "targeted" and attack != "toy":
        assert options.n_t >= 1 and options.tie in ("plus", "zero")
