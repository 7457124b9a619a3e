import pytest
import torch

from hashprobe.attacks._noise import NoiseOptions, noise
from hashprobe.attacks.goal import Goal
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget


@pytest.mark.parametrize("space", ["pixel", "normalised"])
def test_noise_is_uniform_and_independent(space, conv):
    images = torch.full((2, 3, 100, 100), 0.5, dtype=torch.float64)
    victim, eps = conv(), 0.1
    noisy = noise(
        victim,
        Queries(images, (1, 2)),
        Goal.untargeted(),
        budget=Budget(eps, space),
        options=NoiseOptions(),
        seed=4,
    )
    unit = torch.tensor(victim.contract.std if space == "normalised" else (1.0, 1.0, 1.0))
    delta = (noisy - 0.5) / (eps * unit.double().view(3, 1, 1))
    n = delta[0].numel()
    for draw in delta:
        assert 0.999 < draw.abs().max() <= 1 + 1e-9
        assert abs(draw.mean()) < 4 * (1 / 3 / n) ** 0.5
        assert abs(draw.var() - 1 / 3) < 4 * (4 / 45 / n) ** 0.5
    correlation = (delta[0] * delta[1]).mean() * 3
    assert abs(correlation) < 4 / n**0.5


def test_noise_depends_on_seed_and_query_id_alone(conv, random_images):
    victim, images = conv(), random_images(1).repeat(2, 1, 1, 1)

    def run(seed, ids, rows=slice(None), dtype=torch.float64):
        return noise(
            victim,
            Queries(images[rows].to(dtype), tuple(ids)),
            Goal.untargeted(),
            budget=Budget(0.1),
            options=NoiseOptions(),
            seed=seed,
        )

    both = run(0, [5, 6])
    assert torch.equal(run(0, [6], slice(1, 2))[0], both[1])
    assert torch.equal(run(0, [6, 5]), both.flip(0))
    assert not torch.equal(both[0], both[1])
    assert not torch.equal(run(1, [5, 6]), both)
    # (seed, id) is a pair, not a sum.
    assert not torch.equal(run(1, [5, 5])[0], run(0, [6, 6])[0])
    torch.testing.assert_close(run(0, [5, 6], dtype=torch.float32).double(), both)
    with pytest.raises(HashprobeError, match=r"seed must be a whole number from 0 to .*; got -1"):
        run(-1, [5, 6])
    with pytest.raises(HashprobeError, match="1 query ids for 2 queries"):
        run(0, [5])
    with pytest.raises(HashprobeError, match="query ids must be 0 or above; got -2"):
        run(0, [5, -2])


def test_the_victim_is_not_asked(conv, random_images):
    class Deaf(conv):
        def forward(self, images):
            raise AssertionError("noise knows nothing of the victim")

    queries = Queries(random_images(2))
    given = {"budget": Budget(0.1), "options": NoiseOptions()}
    one, other = (noise(v, queries, Goal.untargeted(), **given) for v in (Deaf(), conv(seed=4)))
    assert torch.equal(one, other)


def test_frames_with_the_largest_draw_change(conv, random_images):
    clips = torch.full((3, 5, 3, 4, 4), 0.5, dtype=torch.float64)
    queries = Queries(clips, lengths=torch.tensor([5, 2, 3]))
    every, two = (
        noise(
            conv(),
            queries,
            Goal.untargeted(),
            budget=Budget(0.1, frames=frames),
            options=NoiseOptions(),
        )
        for frames in (None, 2)
    )
    size = (every - clips).abs().sum((2, 3, 4))
    changed = (two != clips).flatten(2).any(2)
    for row in range(3):
        assert set(changed[row].nonzero().flatten().tolist()) == set(
            size[row].topk(2).indices.tolist()
        )
        assert torch.equal(two[row][changed[row]], every[row][changed[row]])
