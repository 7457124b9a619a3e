import numpy as np
import pytest

from hashprobe.codes.packed import PackedCodes, hamming
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.instances import Sources, survey


def drawn(q=9, n=40, bits=16, sources=12, seed=0):
    """Codes about one centre a source, and which source each is of; some have no item."""
    random = np.random.default_rng(seed)
    centres = random.random((sources, bits)) < 0.5
    asked, held = random.integers(sources, size=q), random.integers(sources - 3, size=n)

    def codes(ids):
        return PackedCodes.from_signs(centres[ids] ^ (random.random((len(ids), bits)) < 0.1))

    return codes(asked), codes(held), Sources.of(asked, held)


def test_a_survey_counts_every_pair_once():
    queries, database, sources = drawn()
    found, table = survey(queries, database, sources), hamming(queries, database)
    for row in range(len(queries)):
        own = sources.items == sources.queries[row]
        for distance in range(queries.bits + 1):
            assert found.own[row, distance] == ((table[row] == distance) & own).sum()
            assert found.other[row, distance] == ((table[row] == distance) & ~own).sum()
        nearest = table[row][own].min() if own.any() else -1
        assert found.nearest_own[row] == nearest
        assert found.nearest[row] == table[row].min()


def test_a_match_is_an_item_of_the_same_source_within_the_radius():
    queries, database, sources = drawn()
    table = hamming(queries, database)
    for radius in (0, 2, 16):
        for row, value in enumerate(survey(queries, database, sources).matched(radius)):
            own = sources.items == sources.queries[row]
            if not own.any():
                assert np.isnan(value)
            else:
                assert value == any(d <= radius for d in table[row][own])


def test_names_may_be_texts_or_numbers_of_any_width():
    small = Sources.of(np.array([3], np.uint8), np.array([3, 4], np.int32))
    text = Sources.of(["c"], ["c", "d"])
    assert small.items.tolist() == text.items.tolist() == [0, 1]
    assert Sources.of(["c"], []).known.tolist() == [False]


def test_alone_means_that_no_item_is_of_a_query():
    sources = Sources.alone(3, 5)
    assert not set(sources.queries.tolist()) & set(sources.items.tolist())
    assert len(set(sources.items.tolist())) == 5


def test_the_hash_joins_what_is_linked_within_the_radius():
    chain = PackedCodes.from_signs(np.array([[0] * 8, [1] * 2 + [0] * 6, [1] * 4 + [0] * 4]))
    far = PackedCodes.from_signs(np.ones((1, 8)))
    database = PackedCodes.concatenate([chain, far])
    joined = Sources.by_hash(chain[1:2], database, 2)
    assert (joined.items[:3] == joined.queries[0]).all()
    assert joined.items[3] != joined.queries[0]
    assert joined.found == "hash@r2"
    apart = Sources.by_hash(chain[1:2], database, 1)
    assert (apart.items == apart.queries[0]).tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("queries", "items", "said"),
    [
        ([1], ["a"], "both be texts or both whole numbers"),
        ([1.5], [1], "whole numbers or texts"),
        ([[1]], [1], "whole numbers or texts"),
        ([None], [1], "whole numbers or texts"),
        (np.array([2**63], np.uint64), [1], "whole numbers or texts"),
        ([[1], [1, 2]], [1], "list of names"),
    ],
)
def test_odd_names_are_refused(queries, items, said):
    with pytest.raises(HashprobeError, match=said):
        Sources.of(queries, items)


def test_sources_must_fit_the_codes():
    queries, database, sources = drawn()
    with pytest.raises(HashprobeError, match="9 query sources for 8 codes"):
        survey(queries[:8], database, sources)
    with pytest.raises(HashprobeError, match="40 database sources for 39 codes"):
        survey(queries, database[:39], sources)
    with pytest.raises(HashprobeError, match="not be negative"):
        Sources(np.array([-1]), np.array([0]))
