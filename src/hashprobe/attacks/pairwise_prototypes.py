"""ProS-GAN's PrototypeNet: codes that labels get by a log-likelihood of pairs (section 3.2)."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor, nn

from hashprobe.attacks.generator import LabelNet
from hashprobe.attacks.prototypes import LabelNetKind, as_signs, check_wanted, trained_on_labels
from hashprobe.attacks.trained_parts import TrainedParts
from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes
from hashprobe.types import Labels


LABELS_OF_A_STEP = 64
"""Label vectors of a step of the PrototypeNet, as published."""
CLASSIFIED = "label-net"
"""What the PrototypeNet of ProS-GAN is kept under."""


@checked
def pairwise_prototype_loss(
    prototypes: Float[Tensor, "b k"],
    codes: Float[Tensor, "n k"],
    similar: Bool[Tensor, "b n"],
    guessed: Float[Tensor, "b c"],
    labels: Float[Tensor, "b c"],
) -> Float[Tensor, ""]:
    """Mean of log(1 + e^t) - s t over pairs, of |sign p - p|^2 / 10,000, and of (c - y)^2.

    t = p B^T / 2 and s says whether a pair shares a label (ProS-GAN, section 3.2); c are the labels
    that the network reads from its own semantic feature.

    Args:
        prototypes: p, in (-1, 1).
        codes: B, -1 and +1.
        similar: s.
        guessed: c, in (0, 1).
        labels: y, 0 and 1.

    Returns:
        The loss.

    Example:
        >>> p, y = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0]])
        >>> pairwise_prototype_loss(p, p, torch.tensor([[True]]), y, y)
        tensor(0.3133)
    """
    half = prototypes @ codes.T / 2
    pairs = (nn.functional.softplus(half) - similar * half).mean()
    signs = torch.where(prototypes >= 0, 1.0, -1.0).to(prototypes)
    kept = (signs - prototypes).square().sum(1).mean() / 1e4
    return pairs + kept + (guessed - labels).square().mean()


def label_net(
    database: Codes, *, steps: int = 300, seed: int = 0, keep: TrainedParts | None = None
) -> LabelNet:
    """The PrototypeNet of ProS-GAN, trained on the codes of a database."""

    def loss(net: Any, asked: Tensor, codes: Tensor, similar: Tensor) -> Tensor:
        prototypes, guessed = net(asked)
        return pairwise_prototype_loss(prototypes, codes, similar, guessed, asked)

    kind = LabelNetKind(CLASSIFIED, LabelNet, loss, LABELS_OF_A_STEP)
    net = trained_on_labels(kind, database, steps, seed, keep)
    assert isinstance(net, LabelNet)
    return net


@checked
def pairwise_prototype_codes(
    database: Codes,
    labels: Labels,
    *,
    steps: int = 300,
    seed: int = 0,
    keep: TrainedParts | None = None,
) -> Int8[np.ndarray, "n k"]:
    """The code that ProS-GAN's PrototypeNet gives each label vector (section 3.2).

    As `prototype_codes`, with `pairwise_prototype_loss` and a second output that must tell the
    label. 300 steps where the release takes 30,000 with two decays of the rate.

    Args:
        database: N codes with labels.
        labels: (Q, C) labels that are wanted, each shared by an item.
        steps: of Adam.
        seed: of the network's weights and of the draws.
        keep: where trained networks are kept.

    Returns:
        (Q, K) of -1 and +1.

    Raises:
        HashprobeError: a database without labels, or a label that no item has.

    Example:
        >>> database = Codes.of([[1, 1, 0, 1]] * 5 + [[0, 0, 1, 0]] * 5, [0] * 5 + [1] * 5)
        >>> pairwise_prototype_codes(database, np.eye(2, dtype=bool), steps=30)
        array([[ 1,  1, -1,  1],
               [-1, -1,  1, -1]], dtype=int8)
    """
    check_wanted(database, labels)
    return codes_by(label_net(database, steps=steps, seed=seed, keep=keep), labels)


def codes_by(net: LabelNet, labels: Bool[np.ndarray, "u c"]) -> Int8[np.ndarray, "u k"]:
    """The codes that a network gives label vectors."""
    with torch.no_grad():
        return as_signs(net(torch.from_numpy(labels).float())[0].numpy())
