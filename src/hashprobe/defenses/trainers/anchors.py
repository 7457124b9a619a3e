"""Codes that stand for labels: votes of the codes of training items, from the live code memory."""

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor


Voters = int | Literal["all"]
"""How many codes vote on an anchor code."""


class Anchors:
    """Which training items carry which labels, and the anchor codes of these sets.

    The anchor code of a set is the majority of its codes in each bit. It has the smallest mean
    Hamming distance to the set (DHTA, theorem 1), so the same code is the best place for both
    sides: for an adversary who wants the set's items found, and for a defender who wants the items
    of the set to stay among each other. Items that no step has seen yet, whose code is 0, do not
    vote; a tied bit is +1 (DHTA, equation 7).

    Args:
        labels: (N, C) multi-hot, 0 and 1.

    Example:
        >>> anchors = Anchors(torch.eye(2).repeat(3, 1))
        >>> memory = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).repeat(3, 1)
        >>> anchors.own(memory, torch.tensor([0, 1]), "all", torch.Generator()).tolist()
        [[1.0, 1.0], [-1.0, -1.0]]
    """

    def __init__(self, labels: Float[Tensor, "n c"]) -> None:
        if not labels.shape[1]:  # no labels at all: everything is alike
            labels = labels.new_zeros(len(labels), 1)
        self.labels = labels
        vectors, group = torch.unique(labels, dim=0, return_inverse=True)
        self.vectors, self.group = vectors, group
        self.counts = torch.bincount(group, minlength=len(vectors))
        self.order = group.argsort(stable=True)
        self.begin = self.counts.cumsum(0) - self.counts
        shares = vectors @ vectors.T > 0
        self.exact = not (shares & ~torch.eye(len(vectors), dtype=torch.bool).to(shares)).any()
        """Whether items are alike only if their labels are the same."""
        # Another label has nothing in common with one's own; or at least is not the same.
        unlike = ~shares & vectors.any(1)
        alone = ~unlike.any(1)
        unlike[alone] = ~torch.eye(len(vectors), dtype=torch.bool).to(unlike)[alone]
        self.unlike = unlike

    def other(
        self, where: Int64[Tensor, " b"], draws: torch.Generator, n_t: Voters = "all"
    ) -> Int64[Tensor, " b"]:
        """A random other label for each of some items, as the group of items that carry it.

        It has no label in common with the item's own, where there is one. As in DHTA's protocol it
        has at least n_t items, or as many as any such label has; each of these label vectors is as
        likely as another. With one label only it is the own one.

        Args:
            where: positions of the items.
            draws: the source of chance.
            n_t: how many vote; with all, labels of any number of items are drawn.
        """
        unlike = self.unlike[self.group[where]]
        if n_t != "all":
            most = (unlike * self.counts).amax(1, keepdim=True)
            unlike = unlike & (self.counts >= most.clamp_max(n_t))
        chances = unlike.float()
        chances[chances.sum(1) == 0] = 1.0
        return torch.multinomial(chances.cpu(), 1, generator=draws)[:, 0].to(where)

    def own(
        self,
        memory: Float[Tensor, "n k"],
        where: Int64[Tensor, " b"],
        n_t: Voters,
        draws: torch.Generator,
    ) -> Float[Tensor, "b k"]:
        """The anchor code of the items that share a label with each of some items.

        Args:
            memory: codes of all items.
            where: positions of the items.
            n_t: how many vote.
            draws: the source of chance.
        """
        if self.exact:
            return self.of_groups(memory, self.group[where], n_t, draws)
        relevant = (self.labels[where] @ self.labels.T > 0).float()
        relevant[torch.arange(len(where)), where] = 1.0  # an item without labels is its own
        if n_t != "all":
            few = relevant.sum(1) <= n_t
            chosen = torch.multinomial(
                relevant.cpu() + 1e-12, min(n_t, relevant.shape[1]), generator=draws
            ).to(where)
            drawn = torch.zeros_like(relevant).scatter_(1, chosen, 1.0)
            relevant = torch.where(few[:, None], relevant, drawn)
        return majority(relevant @ memory.sign())

    def of_groups(
        self,
        memory: Float[Tensor, "n k"],
        groups: Int64[Tensor, " b"],
        n_t: Voters,
        draws: torch.Generator,
    ) -> Float[Tensor, "b k"]:
        """The anchor code of the items that carry exactly one label vector.

        Voters are drawn without replacement; where fewer carry the label, all of them vote.

        Args:
            memory: codes of all items.
            groups: which label vectors.
            n_t: how many vote.
            draws: the source of chance.
        """
        if n_t == "all":
            sums = torch.zeros(len(self.counts), memory.shape[1], device=memory.device)
            sums.index_add_(0, self.group, memory.sign())
            return majority(sums[groups])
        count, begin = self.counts[groups, None], self.begin[groups, None]
        # The n_t smallest of random keys, one for each item of the group: a draw of a set.
        keys = torch.rand((len(groups), int(count.max())), generator=draws).to(memory)
        keys[torch.arange(keys.shape[1], device=keys.device) >= count] = 2.0
        chosen = keys.topk(min(n_t, keys.shape[1]), dim=1, largest=False)
        voters = self.order[(begin + chosen.indices).clamp_max(len(self.order) - 1)]
        votes = memory[voters].sign() * (chosen.values < 2)[..., None]
        return majority(votes.sum(1))

    def centre(
        self, memory: Float[Tensor, "n k"], where: Int64[Tensor, " b"], *, cosine: bool = False
    ) -> Float[Tensor, "b k"]:
        """sign(mean of relevant codes - mean of the others), for each of some items.

        The Hamming distance is a sum over bits, so that of all codes this one has the smallest mean
        distance to the relevant codes less that to the others.

        Args:
            memory: U, codes of all items.
            where: positions of the items.
            cosine: weigh relevant codes by the cosine of the label vectors.
        """
        mine, all_ = self.labels[where], self.labels
        shared = mine @ all_.T
        relevant = (shared > 0).float()
        weights = relevant
        if cosine:
            lengths = mine.norm(dim=1)[:, None] * all_.norm(dim=1)
            weights = shared / lengths.clamp_min(1e-12)
        signs, others = memory.sign(), 1 - relevant
        near = weights @ signs / weights.sum(1, keepdim=True).clamp_min(1e-12)
        return majority(near - others @ signs / others.sum(1, keepdim=True).clamp_min(1))


def majority(sums: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """+1 where a sum is 0 or above, else -1."""
    return torch.where(sums >= 0, 1.0, -1.0).to(sums)
