"""Two hashes that must agree: rates are those of loops over both codes of the kept pictures."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import hashprobe as hp
from hashprobe.attacks._bit_margin import BitMarginOptions
from hashprobe.attacks.registry import AttackSpec
from hashprobe.codes.packed import hamming, paired_hamming
from hashprobe.data.decoding import decode_picture
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.instances import Sources
from hashprobe.types import Budget, Runtime
from hashprobe.workflow.audit_ladder import Attacker
from hashprobe.workflow.audit_plans import chosen_items
from hashprobe.workflow.audit_second_hash import (
    Agreed,
    BothOptions,
    CollideBoth,
    second_hash,
)
from hashprobe.workflow.audit_subject import Subject, encoded, shown_of


SIDE, RADII, EPS = 12, (4, 3), 32 / 255


def linear(seed, bits):
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIDE**2, bits))
    return hp.Victim(net, bits=bits, size=SIDE, mean=0.5)


def loop(queries, items, both, radii=RADII):
    """(Q, N) whether two pictures match by both hashes."""
    found = []
    for victim, radius in zip((both.first, both.second), radii, strict=True):
        found.append(hamming(encoded(victim, queries), encoded(victim, items)) <= radius)
    return found[0] & found[1]


@pytest.fixture(scope="module")
def agreed():
    chance = np.random.default_rng(0)
    pictures = torch.from_numpy(chance.integers(0, 256, (10, 3, SIDE, SIDE), np.uint8))
    noise = torch.from_numpy(chance.integers(-90, 91, (20, 3, SIDE, SIDE)))
    items = list((pictures.repeat(2, 1, 1, 1) + noise).clamp(0, 255).to(torch.uint8))
    victim = linear(0, 24)
    shown = shown_of(victim, tuple(map(str, range(10))), list(pictures))
    subject = Subject(
        victim,
        shown,
        encoded(victim, shown.fitted),
        encoded(victim, items),
        tuple(map(str, range(20))),
        Sources(np.arange(10), np.arange(20) % 10),
        item_pictures=items,
        again=lambda both: encoded(both, items),
    )
    return Agreed.of(subject, linear(1, 16), RADII)


def attackers(folder):
    def make(subject, place):
        options = BitMarginOptions(steps=10)
        return Attacker(
            subject, subject.victim, "bit-margin", options, 0, Runtime(), folder / place
        )

    return make


def kept(folder, pattern):
    """The attacked pictures of a folder, by query."""
    files = folder.glob(f"{pattern}/*/png/*.png")
    return {int(path.stem): torch.as_tensor(decode_picture(path)) for path in files}


def test_clean_rates_are_those_of_loops(agreed):
    queries, items = list(agreed.subject.queries.fitted), list(agreed.subject.item_pictures)
    match = loop(queries, items, agreed.both)
    own = agreed.subject.sources.items == np.arange(10)[:, None]
    assert agreed.match().value == pytest.approx((match & own).any(1).mean())
    assert 0 < agreed.match().value < 1
    assert agreed.false_match() == pytest.approx(match[~own].mean())
    wide = replace(agreed, radii=(9, 6))
    assert wide.false_match() == pytest.approx(
        loop(queries, items, agreed.both, (9, 6))[~own].mean()
    )
    assert wide.false_match() > 0


def test_success_is_that_of_the_pictures_that_are_kept(agreed, tmp_path):
    found = second_hash(agreed, EPS, None, attackers(tmp_path))
    subject, own = agreed.subject, agreed.subject.sources.items == np.arange(10)[:, None]
    queries, items = list(subject.queries.fitted), list(subject.item_pictures)
    before = (loop(queries, items, agreed.both) & own).any(1)
    gone = np.zeros(10, bool)
    for place in ("both-first", "both-second"):
        pictures = kept(tmp_path, f"{place}/evade-32of255")
        rows = sorted(pictures)
        assert set(np.flatnonzero(before)) == set(rows)
        match = (loop([pictures[row] for row in rows], items, agreed.both) & own[rows]).any(1)
        gone[rows] |= ~match
    assert found.evasion.value == pytest.approx(gone[before].mean())
    assert "evasion@r4+r3|" in found.evasion.signature and "round:uint8" in found.evasion.signature

    pictures = kept(tmp_path, "both/collide-both-32of255")
    rows, chosen = sorted(pictures), chosen_items(subject, 0, None)
    met = loop([pictures[row] for row in rows], items, agreed.both)[
        np.arange(len(rows)), chosen[rows]
    ]
    assert found.collision.value == pytest.approx(met.mean())
    assert found.collision.value > 0.5
    assert all(((pictures[row].int() - queries[row].int()).abs() <= 32).all() for row in rows)


@pytest.mark.parametrize("leaving", ["both-first", "both-second"])
def test_a_query_that_leaves_after_one_of_the_attacks_is_gone(agreed, leaving):
    fitted = agreed.subject.queries.fitted

    def attacker(part, place):
        """Turns pictures into negatives, or leaves them as they are."""

        def run(plan, places, eps):
            shown = [fitted[row] for row in plan.rows[places]]
            return None, [255 - one if place == leaving else one for one in shown], None

        return SimpleNamespace(run=run)

    assert agreed.evasion(attacker, EPS).value == 1


def test_both_parts_are_steered(agreed, tmp_path):
    """Aims at one part alone leave the other one where it is."""
    attacker = attackers(tmp_path)(
        replace(agreed.subject, victim=agreed.both, clean=agreed.clean, database=agreed.database),
        "x",
    )
    rows = np.arange(10)
    aims = agreed.database[chosen_items(agreed.subject, 0, None)]
    goal, lacking = hp.Goal.targeted(aims.signs()), {}
    for enough in ((20, 1), (1, 13), (20, 13)):
        attack = CollideBoth(24, enough)
        spec = AttackSpec.of(attack, BothOptions(10), budget=Budget(EPS))
        codes, _, _ = attacker.crafted("aims", rows, goal, spec)
        halves = zip(agreed.both.parts(codes), agreed.both.parts(aims), strict=True)
        lacking[enough] = [float(paired_hamming(a, b).mean()) for a, b in halves]
    assert lacking[20, 1][0] <= 4 < lacking[1, 13][0]
    assert lacking[1, 13][1] <= 3 < lacking[20, 1][1]
    assert lacking[20, 13][0] <= 4 and lacking[20, 13][1] <= 3


@pytest.mark.parametrize(
    ("change", "second", "radii", "said"),
    [
        ({"again": None}, 16, (4, 3), "needs the pictures of the database"),
        ({}, 16, (4, None), "give --second-radius N"),
        ({}, 16, (4, 16), "below the 16 bits of the second hash; got 16"),
    ],
)
def test_a_second_hash_that_does_not_fit(agreed, change, second, radii, said):
    with pytest.raises(HashprobeError, match=said):
        Agreed.of(replace(agreed.subject, **change), linear(1, second), radii)


def test_an_audit_with_a_second_hash(tmp_path):
    pytest.importorskip("imagehash")
    pictures = torch.randint(0, 256, (5, 3, SIDE, SIDE), dtype=torch.uint8)
    victim = linear(0, 24)
    known = {"radius": 4, "eps": (16 / 255,), "exact": False, "edits": False, "mitigate": True}
    found = hp.audit(victim, pictures, steps=2, **known)
    last = found.remedies[-1]
    assert last.name == "second-hash" and "phash within 10 must agree" in last.title
    assert last.match.value == 1 and last.evasion is not None and last.collision is not None

    codes = replace(victim.encode(pictures), pictures=None)
    stored = hp.audit(victim, pictures, codes, steps=2, **known)
    assert stored.remedies[-1].name != "second-hash"
    assert any("second hash was left out" in note for note in stored.notes)
    files = hp.AuditFiles(second_hash="dhash", second_radius=3)
    with pytest.raises(HashprobeError, match="needs the pictures of the database"):
        hp.audit(victim, pictures, codes, files=files, steps=2, **known)
    with pytest.raises(HashprobeError, match="is a remedy: give --mitigate"):
        hp.audit(victim, pictures, files=files)
    with pytest.raises(HashprobeError, match="leave out --access query"):
        hp.audit(victim, pictures, files=files, access="query", mitigate=True)


def test_a_second_network_of_another_size_sees_resized_pictures(agreed):
    torch.manual_seed(2)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 16))
    other = Agreed.of(agreed.subject, hp.Victim(net, bits=16, size=8), (4, 3))
    assert other.both.bits == 40 and 0 <= other.match().value <= 1
