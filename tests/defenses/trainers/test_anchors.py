"""Anchor codes of the live code memory, against loops over items."""

from itertools import product

import pytest
import torch

from hashprobe.defenses.trainers.anchors import Anchors, majority


CHANCE = torch.Generator().manual_seed(3)
SINGLE = torch.eye(4)[torch.arange(24) % 4]
MULTI = (torch.rand(24, 5, generator=CHANCE) < 0.35).float()
MEMORY = torch.rand(24, 7, generator=CHANCE) * 2 - 1


def draws():
    return torch.Generator().manual_seed(0)


def voted(codes):
    return [1.0 if sum(bit) >= 0 else -1.0 for bit in zip(*codes.sign().tolist(), strict=True)]


@pytest.mark.parametrize("labels", [SINGLE, MULTI], ids=["one label", "many labels"])
def test_the_own_anchor_is_the_vote_of_all_that_share_a_label(labels):
    anchors, where = Anchors(labels), torch.tensor([0, 5, 23])
    found = anchors.own(MEMORY, where, "all", draws()).tolist()
    for item, code in zip(where.tolist(), found, strict=True):
        alike = [i for i in range(24) if i == item or (labels[i] * labels[item]).any()]
        assert code == voted(MEMORY[alike])


def test_of_all_codes_the_anchor_is_nearest_to_its_set():
    """DHTA, theorem 1: by trying all 128 codes of 7 bits."""
    own = Anchors(SINGLE).own(MEMORY, torch.tensor([2]), "all", draws())[0]
    signs = MEMORY[2::4].sign()
    far = {
        code: (signs != torch.tensor(code)).sum().item() for code in product((-1.0, 1.0), repeat=7)
    }
    assert far[tuple(own.tolist())] == min(far.values())


@pytest.mark.parametrize("n_t", [1, 3, 6, 50])
def test_voters_are_drawn_from_the_label_without_replacement(n_t):
    anchors = Anchors(SINGLE)
    # Each item of the label has one bit of its own: the vote shows who took part.
    memory = torch.full((24, 6), -0.5)
    members = torch.arange(1, 24, 4)
    memory[members] = 2 * torch.eye(6) - 1
    group = anchors.group[1].repeat(40)
    codes = anchors.of_groups(memory, group, n_t, draws())
    if n_t == 1:
        assert (codes == 1).sum(1).tolist() == [1] * 40
        assert (codes == 1).any(0).all()
    else:
        naive = {tuple(voted(memory[members[list(rows)]])) for rows in choose(6, min(n_t, 6))}
        assert {tuple(code) for code in codes.tolist()} <= naive


def choose(n, k):
    return [
        rows
        for rows in product(range(n), repeat=k)
        if len(set(rows)) == k and list(rows) == sorted(rows)
    ]


def test_the_draw_of_own_voters_is_among_the_relevant():
    anchors = Anchors(MULTI)
    memory = torch.full((24, 7), -1.0)
    relevant = (MULTI @ MULTI[3] > 0).nonzero()[:, 0]
    assert len(relevant) > 5
    memory[relevant] = 1.0
    for _ in range(5):
        assert anchors.own(memory, torch.tensor([3]), 3, CHANCE).tolist() == [[1.0] * 7]


def test_items_that_were_not_seen_do_not_vote():
    memory = torch.zeros(24, 7)
    memory[4] = -1.0
    own = Anchors(SINGLE).own(memory, torch.tensor([0]), "all", draws())
    assert own.tolist() == [[-1.0] * 7]
    assert Anchors(SINGLE).own(memory, torch.tensor([1]), "all", draws()).tolist() == [[1.0] * 7]


def test_another_label_shares_none_where_there_is_one():
    anchors = Anchors(MULTI)
    where = torch.arange(24).repeat(20)
    other = anchors.vectors[anchors.other(where, draws())]
    shares = (other * MULTI[where]).sum(1)
    possible = torch.tensor(
        [bool(((anchors.vectors @ MULTI[i] == 0) & anchors.vectors.any(1)).any()) for i in where]
    )
    assert possible.any() and (shares[possible] == 0).all()
    assert len(set(anchors.other(torch.zeros(200, dtype=torch.int64), draws()).tolist())) > 2


@pytest.mark.parametrize("n_t", [1, 3, 6, 50])
def test_single_labels_with_enough_items_are_drawn_as_without_a_minimum(n_t):
    """The same random numbers give the same labels, as far as every label has n_t items."""
    anchors, where = Anchors(SINGLE), torch.arange(24).repeat(9)
    assert anchors.counts.min() == 6
    wanted = anchors.other(where, draws())
    assert torch.equal(anchors.other(where, draws(), n_t), wanted)


@pytest.mark.parametrize("n_t", [2, 4, 100])
def test_other_labels_have_as_many_items_as_vote_or_the_most(n_t):
    labels = (torch.rand(300, 6, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    anchors, where = Anchors(labels), torch.arange(300).repeat(3)
    rows = anchors.vectors
    vectors = {tuple(row.tolist()): int(n) for row, n in zip(rows, anchors.counts, strict=True)}
    assert min(vectors.values()) < 2 <= max(vectors.values()) < 100
    drawn = [tuple(row.tolist()) for row in anchors.vectors[anchors.other(where, draws(), n_t)]]
    for item, code in zip(labels[where], drawn, strict=True):
        own = tuple(item.tolist())
        unlike = {v: n for v, n in vectors.items() if any(v) and not (torch.tensor(v) @ item)}
        unlike = unlike or {v: n for v, n in vectors.items() if v != own}
        enough = [v for v, n in unlike.items() if n >= n_t]
        most = [v for v, n in unlike.items() if n == max(unlike.values())]
        assert code in (enough or most)
    assert len(set(drawn)) > 1


def test_with_one_label_there_is_no_other():
    for n_t in ("all", 1, 50):
        assert Anchors(torch.ones(6, 1)).other(torch.tensor([2]), draws(), n_t).tolist() == [0]


@pytest.mark.parametrize("cosine", [False, True])
def test_the_centre_is_that_of_the_formula(cosine):
    where = torch.tensor([1, 8])
    found = Anchors(MULTI).centre(MEMORY, where, cosine=cosine)
    for item, code in zip(where.tolist(), found, strict=True):
        near, far, weight = torch.zeros(7), [], 0.0
        for other in range(24):
            shared = float(MULTI[item] @ MULTI[other])
            if shared:
                w = shared / float(MULTI[item].norm() * MULTI[other].norm()) if cosine else 1.0
                near, weight = near + w * MEMORY[other].sign(), weight + w
            else:
                far.append(MEMORY[other].sign())
        wanted = near / weight - torch.stack(far).mean(0)
        assert code.tolist() == majority(wanted[None])[0].tolist()
