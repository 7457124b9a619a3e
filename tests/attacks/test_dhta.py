from dataclasses import replace

import pytest
import torch

from hashprobe.attacks._dhta import PRESETS, DhtaOptions, alpha_at, dhta
from hashprobe.attacks._noise import NoiseOptions, noise
from hashprobe.attacks._p2p import P2pOptions, p2p
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget


@pytest.mark.parametrize("space", ["pixel", "normalised"])
@pytest.mark.parametrize("n", [1, 3, 8])
def test_reaches_every_bit_that_can_be_reached(space, n, linear, random_signs):
    """sign(W x) with disjoint supports: bit k flips iff |w_k x| < eps ||w_k||_1 (scaled by std)."""
    chance = torch.Generator().manual_seed(n)
    bits, inputs = 16, 192
    w = torch.zeros(bits, inputs, dtype=torch.float64)
    for k, support in enumerate(torch.randperm(inputs, generator=chance).view(bits, -1)):
        w[k, support] = torch.randn(len(support), generator=chance, dtype=torch.float64)
    # Well inside the box, so that only the budget binds.
    images = 0.5 + 0.2 * (torch.rand(n, 3, 8, 8, generator=chance, dtype=torch.float64) - 0.5)
    hasher, targets = linear(w), random_signs(n, bits)
    eps = 0.3 if space == "normalised" else 0.08
    std = torch.tensor(hasher.contract.std, dtype=torch.float64).repeat_interleave(64)
    radius = eps * (std if space == "normalised" else torch.ones_like(std))
    z, reach = images.flatten(1) @ w.T, (w.abs() * radius).sum(1)
    best = torch.where(targets * z + reach > 0, targets, -targets)
    moved = dhta(hasher, images, targets, budget=Budget(eps, space), options=DhtaOptions(steps=300))
    assert torch.equal((moved.flatten(1) @ w.T).sign(), best)
    wrong = targets * z < 0
    assert (wrong & (best == targets)).any() and (wrong & (best != targets)).any()


def test_schedule_is_the_papers_at_every_step_of_2000():
    expected = [0.1] * 1000
    for alpha in (0.2, 0.3, 0.5, 0.7, 1.0):
        expected += [alpha] * 200
    assert [alpha_at(step, 2000) for step in range(2000)] == expected


@pytest.mark.parametrize("steps", [10, 20, 100, 500, 1000])
def test_schedule_scales(steps):
    tenth = steps // 10
    expected = [0.1] * (5 * tenth)
    for alpha in (0.2, 0.3, 0.5, 0.7, 1.0):
        expected += [alpha] * tenth
    assert [alpha_at(step, steps) for step in range(steps)] == expected


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 13, 999])
def test_schedule_never_falls_at_odd_step_counts(steps):
    alphas = [alpha_at(step, steps) for step in range(steps)]
    assert alphas == sorted(alphas) and alphas[0] == 0.1
    assert alphas.count(0.1) == (steps + 1) // 2


def test_schedule_out_of_range():
    with pytest.raises(HashprobeError, match="step must be from 0 to 9; got 10"):
        alpha_at(10, 10)


def test_constant_alpha_replaces_the_schedule(conv, random_images, random_signs):
    given = conv(), random_images(2), random_signs(2, 16)
    budget = Budget(0.2)

    def run(**options):
        options = DhtaOptions(steps=10, step_size=0.05, **options)
        return dhta(*given, budget=budget, options=options)

    assert not torch.allclose(run(), run(alpha=0.9))
    first = DhtaOptions(steps=1, step_size=0.05)
    constant = DhtaOptions(steps=1, step_size=0.05, alpha=0.1)
    one = dhta(*given, budget=budget, options=first)
    assert torch.equal(one, dhta(*given, budget=budget, options=constant))


def test_p2p_is_dhta_step_for_step(conv, random_images, random_signs):
    given = conv(), random_images(2), random_signs(2, 16)
    settings = {"steps": 9, "step_size": 0.1, "alpha": 0.4}
    point = p2p(*given, budget=Budget(0.1), options=P2pOptions(**settings))
    assert torch.equal(point, dhta(*given, budget=Budget(0.1), options=DhtaOptions(**settings)))


def test_tied_bits_are_left_alone(linear):
    """A target of 0 gives no gradient: the pixels of that bit alone do not move."""
    w = torch.zeros(8, 48, dtype=torch.float64)
    for k in range(8):
        w[k, 6 * k : 6 * k + 6] = 1.0
    targets = torch.ones(1, 8, dtype=torch.float64)
    targets[0, 2] = 0
    images = torch.full((1, 3, 4, 4), 0.5, dtype=torch.float64)
    moved = dhta(
        linear(w), images, targets, budget=Budget(0.1), options=DhtaOptions(steps=5)
    ).flatten()
    still = torch.zeros(48, dtype=torch.bool)
    still[12:18] = True
    assert (moved[still] == 0.5).all() and (moved[~still] > 0.5).all()


def test_presets_say_what_was_published():
    paper, code = PRESETS["paper"], PRESETS["official-code"]
    assert (paper.budget, code.budget) == (Budget(0.032), Budget(0.032, "normalised"))
    assert paper.options == DhtaOptions(9, 2000, 1.0, None, "plus")
    assert code.options == DhtaOptions(9, 2000, 1.0, None, "zero")
    assert (code.empty, code.minimum, code.pool) == ("skip", 10, "differs")
    videos = PRESETS["paper-videos"]
    assert videos.options == DhtaOptions(9, 500, 1.0, 0.1, "plus")
    assert replace(videos, name="paper", options=paper.options) == paper
    assert all(name == preset.name for name, preset in PRESETS.items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_t": 0}, "n_t must be at least 1; got 0"),
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"step_size": 0.0}, "step_size must be above 0; got 0.0"),
        ({"alpha": -1.0}, "alpha must be above 0, or left out for the schedule; got -1.0"),
    ],
)
def test_options_out_of_range(settings, message):
    with pytest.raises(HashprobeError, match=message):
        DhtaOptions(**settings)
    if "n_t" not in settings:
        with pytest.raises(HashprobeError, match=message):
            P2pOptions(**settings)


@pytest.mark.parametrize("space", ["pixel", "normalised"])
def test_noise_is_uniform_and_independent(space, conv, random_signs):
    images = torch.full((2, 3, 100, 100), 0.5, dtype=torch.float64)
    hasher, eps = conv(), 0.1
    noisy = noise(
        hasher,
        images,
        random_signs(2, 16),
        budget=Budget(eps, space),
        options=NoiseOptions(),
        seed=4,
        query_ids=[1, 2],
    )
    unit = torch.tensor(hasher.contract.std if space == "normalised" else (1.0, 1.0, 1.0))
    delta = (noisy - 0.5) / (eps * unit.double().view(3, 1, 1))
    n = delta[0].numel()
    for draw in delta:
        assert 0.999 < draw.abs().max() <= 1 + 1e-9
        assert abs(draw.mean()) < 4 * (1 / 3 / n) ** 0.5
        assert abs(draw.var() - 1 / 3) < 4 * (4 / 45 / n) ** 0.5
    correlation = (delta[0] * delta[1]).mean() * 3
    assert abs(correlation) < 4 / n**0.5


def test_noise_depends_on_seed_and_query_id_alone(conv, random_images, random_signs):
    hasher, images, targets = conv(), random_images(1).repeat(2, 1, 1, 1), random_signs(2, 16)

    def run(seed, ids, rows=slice(None), dtype=torch.float64):
        return noise(
            hasher,
            images[rows].to(dtype),
            targets[rows],
            budget=Budget(0.1),
            options=NoiseOptions(),
            seed=seed,
            query_ids=ids,
        )

    both = run(0, [5, 6])
    assert torch.equal(run(0, [6], slice(1, 2))[0], both[1])
    assert torch.equal(run(0, [6, 5]), both.flip(0))
    assert not torch.equal(both[0], both[1])
    assert not torch.equal(run(1, [5, 6]), both)
    # (seed, id) is a pair, not a sum.
    assert not torch.equal(run(1, [5, 5])[0], run(0, [6, 6])[0])
    torch.testing.assert_close(run(0, [5, 6], dtype=torch.float32).double(), both)
    with pytest.raises(HashprobeError, match="seed must be 0 or above; got -1"):
        run(-1, [5, 6])
    with pytest.raises(HashprobeError, match="1 query ids for 2 queries"):
        run(0, [5])
    with pytest.raises(HashprobeError, match="query ids must be 0 or above; got -2"):
        run(0, [5, -2])
