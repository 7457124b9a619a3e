import json

import numpy as np
import pytest

from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.instances import Sources
from hashprobe.evaluation.lists import list_overlap, list_recall, nearest_items
from hashprobe.evaluation.match_record import measure_matching
from hashprobe.evaluation.matching import collision_rate, evasion_rate, hit_rate


@pytest.fixture
def parts():
    random = np.random.default_rng(1)
    signs = random.random((30, 32)) < 0.5
    database = PackedCodes.from_signs(signs)
    clean = PackedCodes.from_signs(signs[:12] ^ (random.random((12, 32)) < 0.05))
    attacked = PackedCodes.from_signs(signs[:12] ^ (random.random((12, 32)) < 0.25))
    return clean, attacked, database, Sources.of(range(12), range(30))


def test_the_record_holds_what_the_functions_give(parts):
    clean, attacked, database, sources = parts
    found = measure_matching(
        *parts, 5, chosen=database[12:24], listed=database[:3], top=4, rounding="uint8"
    )
    alone = evasion_rate(*parts, 5, rounding="uint8")
    assert found.evasion.value == alone.value
    assert found.evasion.signature == alone.signature
    assert found.evaded / found.matched == alone.value
    told = {"rounding": "uint8"}
    assert found.collision.value == collision_rate(attacked, database[12:24], 5).value
    assert found.hit_after.signature == hit_rate(attacked, database[:3], 5, **told).signature
    assert found.hit_before.value == hit_rate(clean, database[:3], 5).value
    lists = [nearest_items(codes, database, 4) for codes in (clean, attacked)]
    assert found.recall_after.value == list_recall(lists[1], sources).value
    assert found.overlap.value == list_overlap(*lists).value


def test_the_record_is_json_with_signatures(parts):
    found = measure_matching(*parts, 5)
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert record["evasion"]["signature"].startswith("evasion@r5|")
    assert record["collision"] is None
    assert len(record["false_matches"]["curve"]) == 33
    assert record["median_rank"][0] == 1


def test_nothing_matched_is_told_and_not_an_error(parts):
    clean, attacked, database, sources = parts
    far = PackedCodes.from_signs(-database.signs())
    found = measure_matching(clean, attacked, far, sources, 0)
    assert found.evasion is None
    assert (found.matched, found.evaded) == (0, 0)
    json.dumps(found.to_json(), allow_nan=False)


def test_no_known_source_is_one_sentence(parts):
    clean, attacked, database, _ = parts
    with pytest.raises(HashprobeError, match="give sources"):
        measure_matching(clean, attacked, database, Sources.alone(12, 30), 3)
