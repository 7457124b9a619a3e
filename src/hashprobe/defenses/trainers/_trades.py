"""TRADES on bits: adversarial codes that are distributed as the clean ones are."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.defenses.trainers.base import Aim, Bench, Outputs, Trainer
from hashprobe.defenses.trainers.bit_losses import bernoulli_kl
from hashprobe.tensors import Logits
from hashprobe.training.hardening import Batch


@checked
@dataclass(frozen=True)
class Trades(Trainer):
    """TRADES (Zhang et al., ICML 2019) with bits in place of classes.

    Each bit is a Bernoulli variable with the chance sigmoid(2 z) of +1, so that the divergence of
    two codes is a sum over bits in closed form, see `bernoulli_kl`. The adversary makes it large
    from the clean to the moved item; the network learns the hashing loss and to make it small.

    Raises:
        HashprobeError: an option out of range.

    Example:
        >>> Trades().weight
        6.0
    """

    name = "trades"
    title = "TRADES on bits"

    weight: float = 6.0
    """Weight of the divergence, 0 or above; 1 / lambda = 6 in the paper."""

    def aim(self, bench: Bench, batch: Batch) -> Aim:
        """Away from the clean item's own bits, whatever they are."""
        clean = bench.hasher(*batch.given).detach().float()
        return Aim(clean, clean)

    def inner(
        self, logits: Logits, towards: Float[Tensor, "b k"], done: Float[Tensor, "b 1"]
    ) -> Float[Tensor, " b"]:
        """Minus the divergence from the clean logits."""
        return -bernoulli_kl(towards, logits)

    def outer(self, bench: Bench, batch: Batch, aim: Aim, outputs: Outputs) -> Tensor:
        """The hashing loss plus the divergence, which both sides learn to make small."""
        assert outputs.clean is not None
        far = bernoulli_kl(outputs.clean, outputs.attacked).mean()
        return bench.hash_loss(outputs.clean, batch) + self.weight * far
