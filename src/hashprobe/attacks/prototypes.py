"""PrototypeNet: a network from label vectors to codes, which THA and ProS-GAN aim at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int8

from hashprobe.attacks.label_codes import relevance
from hashprobe.attacks.trained_parts import TrainedParts
from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes, labels_of
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import sha256_array
from hashprobe.tensors import Tensor
from hashprobe.types import Labels, check_seed, check_whole


if TYPE_CHECKING:
    from torch import nn

HIDDEN, SEMANTIC = 4096, 512
"""Widths of the two hidden layers, as published."""
RATE, BETAS = 1e-4, (0.5, 0.999)
"""Of Adam, as published."""
BATCH, ITEMS = 32, 1024
"""Label vectors and database items of a step."""
LabelLoss: TypeAlias = Callable[[Any, Tensor, Tensor, Tensor], Tensor]
"""(network, label vectors, codes of items, which pairs are similar) -> loss."""


@checked
def prototype_codes(
    database: Codes,
    labels: Labels,
    *,
    steps: int = 300,
    seed: int = 0,
    keep: TrainedParts | None = None,
) -> Int8[np.ndarray, "n k"]:
    """The code that PrototypeNet gives each label vector (Wang et al., SIGIR 2021, section 3.2).

    A network label -> 4,096 -> 512 -> K is trained on `prototype_loss` between its outputs for
    label vectors drawn from the database and the codes of database items; the sign of its output is
    the prototype code. Deviations: 300 steps where the paper takes 30,000 with two decays of the
    rate; the items of a step are a sample of 1,024, where the release takes all of its training set
    and drops some pairs by mistake.

    Args:
        database: N codes with labels.
        labels: (Q, C) labels that are wanted, each shared by an item.
        steps: of Adam.
        seed: of the network's weights and of the draws.
        keep: where trained networks are kept, so that the same one is not trained twice.

    Returns:
        (Q, K) of -1 and +1.

    Raises:
        HashprobeError: a database without labels, or a label that no item has.

    Example:
        >>> database = Codes.of([[1, 1, 0, 1]] * 5 + [[0, 0, 1, 0]] * 5, [0] * 5 + [1] * 5)
        >>> prototype_codes(database, np.eye(2, dtype=bool), steps=30)
        array([[ 1,  1, -1,  1],
               [-1, -1,  1, -1]], dtype=int8)
    """
    import torch

    check_wanted(database, labels)

    def loss(net: Any, asked: Tensor, codes: Tensor, similar: Tensor) -> Tensor:
        return prototype_loss(net(asked), codes, similar)

    kind = LabelNetKind("prototypes", prototype_net, loss)
    net = trained_on_labels(kind, database, steps, seed, keep)
    with torch.no_grad():
        outputs = net(torch.from_numpy(labels).float()).numpy()
    return as_signs(outputs)


def check_wanted(database: Codes, labels: Labels) -> None:
    """Refuses labels that no item of a database shares."""
    if len(labels) and not relevance(database, labels).any(axis=1).all():
        raise HashprobeError("no database item shares a label with one of the targets")


def as_signs(outputs: Float[np.ndarray, "n k"]) -> Int8[np.ndarray, "n k"]:
    """Codes of outputs; 0 is +1."""
    return np.where(outputs >= 0, 1, -1).astype(np.int8)


def kinds_of(labels: Labels) -> Bool[np.ndarray, "u c"]:
    """The distinct label vectors that are not empty."""
    kinds: np.ndarray = np.unique(labels, axis=0)
    return kinds[kinds.any(axis=1)]


@dataclass(frozen=True)
class LabelNetKind:
    """A kind of network from label vectors, and how it is trained."""

    name: str
    """What it is kept under."""
    build: Callable[[int, int], nn.Module]
    """Makes it for C classes and K bits."""
    loss: LabelLoss
    batch: int = BATCH
    """Label vectors of a step."""


def trained_on_labels(
    kind: LabelNetKind, database: Codes, steps: int, seed: int, keep: TrainedParts | None
) -> nn.Module:
    """A network that is trained on the codes of a database, or read from where it is kept."""
    import torch

    check_whole("steps", steps)
    known = labels_of(database)

    def train(net: nn.Module) -> None:
        optimiser = torch.optim.Adam(net.parameters(), RATE, BETAS)
        rng = np.random.default_rng(seed)
        kinds = kinds_of(known)
        for _ in range(steps):
            asked = kinds[rng.integers(len(kinds), size=kind.batch)]
            items = rng.integers(len(known), size=min(ITEMS, len(known)))
            codes = torch.from_numpy(database.packed[items].signs()).float()
            similar = torch.from_numpy(asked.astype(np.float32) @ known[items].T > 0)
            loss = kind.loss(net, torch.from_numpy(asked).float(), codes, similar)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    # The caller may have switched gradients off, and its generator is its own.
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(check_seed(seed))
        net = kind.build(known.shape[1], database.bits)
        if keep is None:
            train(net)
            return net
        key = {
            "codes": sha256_array(database.packed.data),
            "labels": sha256_array(known),
            "bits": database.bits,
            "steps": steps,
            "seed": seed,
            "batch": [kind.batch, ITEMS],
        }
        return keep.get(kind.name, key, net, train)


def prototype_net(classes: int, bits: int) -> nn.Module:
    """Label vectors (N, C) -> semantic features -> codes in (-1, 1), (N, K)."""
    from torch import nn

    return nn.Sequential(
        nn.Linear(classes, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, SEMANTIC),
        nn.ReLU(),
        nn.Linear(SEMANTIC, bits),
        nn.Tanh(),
    )


@checked
def prototype_loss(
    prototypes: Float[Tensor, "b k"],
    codes: Float[Tensor, "n k"],
    similar: Bool[Tensor, "b n"],
) -> Float[Tensor, ""]:
    """Mean of lse(a_n s_n) + lse(-a_p s_p) + |sign p - p|^2 / 10,000, the circle loss of THA.

    s = p B^T / K are likenesses; over similar pairs a_p = max(0, 2 - s_p), over others
    a_n = max(0, 2 + s_n), and neither gets a gradient: margin 0, gamma 1.

    Args:
        prototypes: p, in (-1, 1).
        codes: B, -1 and +1.
        similar: which pairs share a label.

    Returns:
        The loss. A prototype without similar or without other items has the other part alone.

    Example:
        >>> import torch
        >>> p = torch.tensor([[1.0, 1.0]])
        >>> pairs = torch.tensor([[True, False]])
        >>> prototype_loss(p, torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), pairs)
        tensor(-2.)
    """
    import torch

    likeness = prototypes @ codes.T / codes.shape[1]
    near = -(2 - likeness).clamp_min(0).detach() * likeness
    far = (2 + likeness).clamp_min(0).detach() * likeness
    parts = []
    for value, mask in ((far, ~similar), (near, similar)):
        whole = value.masked_fill(~mask, -torch.inf).logsumexp(1)
        parts.append(torch.where(mask.any(1), whole, torch.zeros_like(whole)))
    signs = torch.where(prototypes >= 0, 1.0, -1.0).to(prototypes)
    kept = (signs - prototypes).square().sum(1) / 1e4
    return (parts[0] + parts[1] + kept).mean()
