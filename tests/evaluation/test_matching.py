import numpy as np
import pytest
from scipy.stats import binomtest

from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.instances import Sources
from hashprobe.evaluation.matching import collision_rate, evasion_rate, hit_rate, match_rate


@pytest.fixture(scope="module")
def case():
    """Twenty queries of ten sources, their attacked copies, and a database that lacks a source."""
    random = np.random.default_rng(3)
    centres = random.random((10, 24)) < 0.5
    asked, held = np.arange(20) % 10, random.integers(9, size=50)

    def codes(ids, noise):
        return PackedCodes.from_signs(centres[ids] ^ (random.random((len(ids), 24)) < noise))

    parts = codes(asked, 0.05), codes(asked, 0.2), codes(held, 0.05)
    return *parts, Sources.of(asked, held), asked, held


def naive_match(codes, database, asked, held, radius):
    """Whether each query matches, by bits; None without an item of its source."""
    found = []
    for signs, source in zip(codes.signs().tolist(), asked, strict=True):
        own = [d for d, s in zip(database.signs().tolist(), held, strict=True) if s == source]
        near = [sum(a != b for a, b in zip(signs, other, strict=True)) <= radius for other in own]
        found.append(any(near) if own else None)
    return found


@pytest.mark.parametrize("radius", [0, 2, 4, 24])
def test_match_and_evasion_are_what_loops_count(case, radius):
    clean, attacked, database, sources, asked, held = case
    before = naive_match(clean, database, asked, held, radius)
    after = naive_match(attacked, database, asked, held, radius)
    known = [b for b in before if b is not None]
    found = match_rate(clean, database, sources, radius)
    assert found.value == pytest.approx(sum(known) / len(known))
    assert np.isnan(found.per_query).tolist() == [b is None for b in before]
    pairs = [(b, a) for b, a in zip(before, after, strict=True) if b]
    evasion = evasion_rate(clean, attacked, database, sources, radius)
    assert np.isfinite(evasion.per_query).sum() == len(pairs)
    assert evasion.value == pytest.approx(sum(not a for _, a in pairs) / len(pairs))


def test_intervals_of_rates_are_those_of_clopper_and_pearson(case):
    clean, attacked, database, sources, *_ = case
    found = evasion_rate(clean, attacked, database, sources, 4)
    tries = int(np.isfinite(found.per_query).sum())
    hits = int(np.nansum(found.per_query))
    exact = binomtest(hits, tries).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == (pytest.approx(exact.low), pytest.approx(exact.high))


def test_collision_and_hit_are_what_loops_count(case):
    clean, attacked, database, *_ = case
    signs, others = attacked.signs(), database.signs()
    for radius in (0, 5, 9):
        chosen = database[np.arange(20)]
        near = [(signs[i] != others[i]).sum() <= radius for i in range(20)]
        assert collision_rate(attacked, chosen, radius).value == pytest.approx(np.mean(near))
        entered = [any((signs[i] != o).sum() <= radius for o in others[:4]) for i in range(20)]
        assert hit_rate(attacked, database[:4], radius).value == pytest.approx(np.mean(entered))
    assert collision_rate(clean, clean, 0).value == 1


def test_signatures_tell_measures_apart(case):
    clean, attacked, database, sources, *_ = case
    one = evasion_rate(clean, attacked, database, sources, 4)
    assert one.signature.startswith("evasion@r4|src:given|q:20|db:50|bits:24|ci:gaffke|v:")
    with pytest.raises(HashprobeError, match="different measures"):
        one - evasion_rate(clean, attacked, database, sources, 5)
    rounded = evasion_rate(clean, attacked, database, sources, 4, rounding="uint8")
    assert "|round:uint8|" in rounded.signature


def test_what_cannot_be_measured_is_one_sentence(case):
    clean, attacked, database, sources, *_ = case
    with pytest.raises(HashprobeError, match="no item of any query's source"):
        match_rate(clean, database, Sources.alone(20, 50), 3)
    opposite = PackedCodes.from_signs(-database.signs())
    with pytest.raises(HashprobeError, match="nothing to evade"):
        evasion_rate(clean, attacked, opposite, sources, 1)
    with pytest.raises(HashprobeError, match="20 clean codes and 19 attacked"):
        evasion_rate(clean, attacked[:19], database, sources, 1)
    for radius in (-1, 25):
        with pytest.raises(HashprobeError, match="radius must be 0 to the bits, 24"):
            collision_rate(clean, clean, radius)
    with pytest.raises(HashprobeError, match="same length"):
        hit_rate(clean, PackedCodes.from_signs(np.ones((2, 8))), 1)
    with pytest.raises(HashprobeError, match="database is empty"):
        hit_rate(clean, PackedCodes.empty(24), 1)
