"""An adversary without access: pictures are crafted on other victims."""

from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from hashprobe.attacks.goal import Goal
from hashprobe.codes.packed import PackedCodes
from hashprobe.tensors import Logits
from hashprobe.types import InputContract
from hashprobe.victims.base import Hasher
from hashprobe.workflow.audit_ladder import Attacker, Ladder, Plan, climb
from hashprobe.workflow.audit_subject import Subject, encoded


class Resized(Hasher):
    """A victim that is given pictures of any size, and resizes them with gradients.

    Args:
        victim: a victim of one size.
        like: the contract by which pictures are read for it; None: they keep their size.
    """

    def __init__(self, victim: Hasher, like: InputContract | None = None) -> None:
        alone = replace(victim.contract, size=0)
        super().__init__(victim.bits, alone if like is None else read_like(alone, like))
        self.victim, self.side = victim, victim.contract.size
        self.title = victim.title

    def fitted(self, images: Tensor) -> Tensor:
        """Pictures at the size of the victim."""
        side = (self.side, self.side)
        if not self.side or images.shape[-2:] == side:
            return images
        return F.interpolate(
            images, side, mode="bilinear", antialias=True, align_corners=False
        ).clamp(0, 1)

    def forward(self, images: Tensor) -> Logits:
        """Logits of pictures of any size.

        Args:
            images: (N, 3, H, W) in [0, 1].
        """
        logits: Tensor = self.victim(self.fitted(images))
        return logits

    def codes(self, *given: Tensor) -> PackedCodes:
        """Judged codes of pictures of any size.

        Args:
            given: (N, 3, H, W) in [0, 1].
        """
        pixels = given[0] if given[0].is_floating_point() else given[0].float() / 255
        return self.victim.codes(self.fitted(pixels))


def read_like(contract: InputContract, like: InputContract) -> InputContract:
    """A contract whose pictures get the size of another one, in the way of that one."""
    return replace(
        contract, size=like.size, filter=like.filter, fit=like.fit, resize_to=like.resize_to
    )


def transferred(
    subject: Subject, plan: Plan, surrogate: Hasher, attacker: Attacker, eps: float
) -> Ladder:
    """Evasion with pictures that are crafted on a surrogate, judged by the subject's own victim.

    Every bit of the surrogate's code is pushed to the other side: how many have to turn over in the
    victim's code is not known.

    Args:
        subject: what is audited.
        plan: evasion, for the subject's own codes.
        surrogate: another victim, of any size and any code length.
        attacker: who attacks.
        eps: the budget.
    """
    through = Resized(surrogate)
    clean = encoded(through, [subject.queries.fitted[row] for row in plan.rows])
    away = replace(plan, goal=Goal.targeted(-clean.signs()))
    return climb(replace(attacker, victim=through), away, (eps,), exact=False)
