import itertools
import json

import numpy as np
import pytest

from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation import health as module
from hashprobe.evaluation.health import code_health


def sick(n=120, seed=0):
    """Twelve bits: 0 constant, 1 nearly, 2 = 3, 4 = not 5, the others random; some codes twice."""
    bits = np.random.default_rng(seed).random((n, 12)) < 0.5
    bits[:, 0] = True
    bits[:, 1] = np.arange(n) == 0
    bits[:, 3], bits[:, 5] = bits[:, 2], ~bits[:, 4]
    bits[-5:] = bits[:5]
    return bits


def test_everything_is_what_loops_count():
    bits = sick()
    found = code_health(PackedCodes.from_signs(bits))
    distances = [int((a != b).sum()) for a, b in itertools.combinations(bits, 2)]
    share = np.mean(distances) / 12
    assert found.mean_distance == pytest.approx(np.mean(distances))
    daugman = share * (1 - share) / np.var(np.array(distances) / 12)
    assert found.effective_distance == pytest.approx(daugman)
    p = bits.mean(axis=0)
    p = p[(p > 0) & (p < 1)]
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p)).sum()
    assert found.effective_entropy == pytest.approx(entropy)
    assert (found.constant_bits, found.nearly_constant_bits) == (1, 2)
    assert found.ones == pytest.approx(bits.mean())
    assert found.bit_ones == pytest.approx(bits.mean(axis=0))
    rows = [tuple(row) for row in bits.tolist()]
    assert found.distinct == len(set(rows))
    assert found.duplicates == sum(rows.count(row) > 1 for row in rows)
    for a, b, coefficient in found.worst_pairs:
        assert coefficient == pytest.approx(np.corrcoef(bits[:, a], bits[:, b])[0, 1])
    assert {pair[:2] for pair in found.worst_pairs[:2]} == {(2, 3), (4, 5)}
    assert found.correlated_pairs == 2
    assert [round(pair[2]) for pair in sorted(found.worst_pairs)[:2]] in ([1, -1], [-1, 1])
    json.dumps(found.to_json(), allow_nan=False)


def test_the_sign_of_features_that_are_not_centred_is_found():
    features = np.random.default_rng(0).normal(size=(200, 32)).clip(0)
    found = code_health(PackedCodes.from_logits(features))
    assert found.constant_bits == 32
    assert found.effective_distance == 0
    assert "all 200 codes are equal" in found.findings[0]


def test_half_of_the_bits_said_twice_are_found():
    half = np.random.default_rng(0).random((3000, 32)) < 0.5
    found = code_health(PackedCodes.from_signs(np.concatenate([half, half], axis=1)))
    assert found.effective_entropy == pytest.approx(64, abs=0.1)
    assert found.effective_distance == pytest.approx(32, rel=0.05)
    assert found.correlated_pairs == 32


def test_a_large_database_is_looked_at_in_equal_steps(monkeypatch):
    codes = PackedCodes.from_signs(np.random.default_rng(0).random((900, 16)) < 0.5)
    whole = code_health(codes)
    monkeypatch.setattr(module, "WORK", 300 * 16**2)
    some = code_health(codes)
    assert (whole.sampled, some.sampled) == (900, 300)
    assert some.bit_ones == whole.bit_ones
    assert some.effective_distance == pytest.approx(whole.effective_distance, rel=0.3)


def test_one_code_has_no_health():
    with pytest.raises(HashprobeError, match="two or more codes"):
        code_health(PackedCodes.from_signs(np.ones((1, 8))))
