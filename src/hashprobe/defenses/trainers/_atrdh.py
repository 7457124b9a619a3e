"""ATRDH: adversarial training against attacks by a prototype network."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hashprobe.checked import checked
from hashprobe.defenses.trainers.anchors import majority
from hashprobe.defenses.trainers.base import Aim, Bench, Outputs, Trainer
from hashprobe.training.hardening import Batch


NET = "prototypes"
RATE, BETAS = 1e-4, (0.5, 0.999)
"""Adam of the prototype network, as released."""
QUANTISATION = 1e-4
"""Weight of the prototypes' distance from their signs."""


@checked
@dataclass(frozen=True)
class Atrdh(Trainer):
    """The defence of THA (Wang et al., SIGIR 2021).

    A prototype network, trained along, gives a code for each label vector. The adversary drives an
    item to the prototype of a random other label, by 7 steps of eps / 4 from a random start; the
    network learns the hashing loss, and mean(((u_adv . U) / K - S)^2) of adversarial outputs with
    the code memory U of clean items.

    The released code runs the attack with dropout (`attack_mode="train"`) and lets target labels be
    the item's own; here targets share no label, and the network is in evaluation mode. SAAT's
    re-implementation has `weight` 2.

    Raises:
        HashprobeError: an option out of range.

    Example:
        >>> Atrdh(hidden=64).hidden
        64
    """

    name = "atrdh"
    title = "ATRDH"

    hidden: int = 4096
    """Width of the prototype network's first layer; an eighth of it is that of its second."""
    prototypes: Literal["network", "vote"] = "network"
    """Where target codes come from: the prototype network as published, or the vote of all codes of
    the label, which it is trained to imitate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.within("hidden", 8, 65_536)

    def prepare(self, bench: Bench) -> None:
        """Makes the prototype network."""
        if self.prototypes != "network":
            return
        labels, bits = bench.labels.shape[1], bench.hasher.bits
        with torch.random.fork_rng():
            torch.manual_seed(bench.training.options.seed)
            net = nn.Sequential(
                nn.Linear(labels, self.hidden),
                nn.ReLU(),
                nn.Linear(self.hidden, self.hidden // 8),
                nn.ReLU(),
                nn.Linear(self.hidden // 8, bits),
                nn.Tanh(),
            ).to(bench.device)
        bench.networks[NET] = net
        bench.optimisers[NET] = torch.optim.Adam(net.parameters(), RATE, BETAS)

    def aim(self, bench: Bench, batch: Batch) -> Aim:
        """The prototype of a random other label."""
        anchors = bench.anchors
        groups = anchors.other(batch.where, batch.draws)
        own = anchors.own(bench.memory, batch.where, "all", batch.draws)
        if self.prototypes == "vote":
            return Aim(anchors.of_groups(bench.memory, groups, "all", batch.draws), own)
        net, optimiser = bench.networks[NET], bench.optimisers[NET]
        labels = anchors.vectors[groups]
        optimiser.zero_grad()
        relevant = labels @ bench.labels.T > 0
        torch.autograd.backward(prototype_loss(net(labels), bench.memory.sign(), relevant))
        optimiser.step()
        with torch.no_grad():
            return Aim(majority(net(labels)), own)

    def outer(self, bench: Bench, batch: Batch, aim: Aim, outputs: Outputs) -> Tensor:
        """The hashing loss plus the squared error of similarities of adversarial codes."""
        assert outputs.clean is not None
        similar = (bench.labels[batch.where] @ bench.labels.T > 0).float() * 2 - 1
        alike = outputs.attacked.tanh() @ bench.memory.T / bench.hasher.bits
        attacked = ((alike - similar) ** 2).mean()
        return bench.hash_loss(outputs.clean, batch) + self.weight * attacked


def prototype_loss(
    prototypes: Float[Tensor, "b k"], codes: Float[Tensor, "n k"], relevant: Tensor
) -> Tensor:
    """logsumexp(a_n s_n) + logsumexp(-a_p s_p), a mean over rows, plus distance from signs.

    s is the cosine of a prototype with each code; a_p = max(0, 2 - s_p) and a_n = max(0, 2 + s_n)
    have no gradient (THA, section 3.2, the circle loss with margin 0 and scale 1). The sums are
    over the relevant and over the other codes of each row.

    Args:
        prototypes: in (-1, 1).
        codes: -1 and +1.
        relevant: (B, N) which codes share a label with which prototype.
    """
    alike = prototypes @ codes.T / prototypes.shape[1]
    near, far = (2 - alike.detach()).clamp_min(0), (2 + alike.detach()).clamp_min(0)
    pulled = (-near * alike).masked_fill(~relevant, -torch.inf).logsumexp(1)
    pushed = (far * alike).masked_fill(relevant, -torch.inf).logsumexp(1)
    # A label that all items carry, or none, has one side only.
    both = pulled.nan_to_num(neginf=0.0) + pushed.nan_to_num(neginf=0.0)
    return both.mean() + QUANTISATION * ((prototypes.abs() - 1) ** 2).sum(1).mean()
