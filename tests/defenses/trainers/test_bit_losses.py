"""Losses of bits as chances, against torch's own distributions."""

import torch
from torch.distributions import Bernoulli, kl_divergence

from hashprobe.defenses.trainers._atrdh import prototype_loss
from hashprobe.defenses.trainers.bit_losses import bernoulli_kl, bit_cross_entropy


Z = torch.randn(5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
OTHER = Z.flip(0) * 1.5


def test_the_divergence_is_that_of_independent_bits():
    first, second = (Bernoulli(logits=2 * each) for each in (Z, OTHER))
    torch.testing.assert_close(bernoulli_kl(Z, OTHER), kl_divergence(first, second).mean(1))


def test_the_cross_entropy_is_minus_the_log_likelihood_of_the_code():
    codes = OTHER.sign()
    wanted = -Bernoulli(logits=2 * Z).log_prob((codes + 1) / 2).mean(1)
    torch.testing.assert_close(bit_cross_entropy(Z, codes), wanted)


def test_the_prototype_loss_is_a_sum_over_pairs():
    prototypes, codes = Z.float()[:3].tanh(), OTHER.float().sign()
    relevant = torch.tensor([[1, 0, 1, 0, 1], [0, 1, 0, 1, 0], [1, 1, 1, 1, 1]]).bool()
    total = 0.0
    for row, p in enumerate(prototypes):
        near = far = 0.0
        for other, b in enumerate(codes):
            s = float(p @ b) / 8
            if relevant[row, other]:
                near += torch.tensor(-max(0.0, 2 - s) * s).exp().item()
            else:
                far += torch.tensor(max(0.0, 2 + s) * s).exp().item()
        total += sum(torch.tensor(each).log().item() for each in (near, far) if each) / 3
    rest = float(((prototypes.abs() - 1) ** 2).sum(1).mean())
    assert abs(float(prototype_loss(prototypes, codes, relevant)) - total - 1e-4 * rest) < 1e-5
