"""Attacks on a run folder: what they are measured against."""

import dataclasses

import numpy as np
import pytest

from hashprobe.attacks._dhta import DhtaOptions
from hashprobe.attacks.registry import AttackSpec
from hashprobe.codes.packed import PackedCodes, paired_hamming
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.data.loader import decode
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measures import targeted_mean_average_precision
from hashprobe.storage.runs import Run
from hashprobe.types import Budget
from hashprobe.workflow.attack_step import attack_run, check_stored
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.run_io import load_codes, open_run


def test_tied_bits_count_as_plus_one_where_a_run_is_measured(encoded):
    spec = AttackSpec("dhta", DhtaOptions(n_t=2, tie="zero", steps=3), Budget(64 / 255))
    done = attack_run(encoded, spec, protocol=Protocol(queries=6), name="tied")
    kept = AttackResult.load(encoded / "attacks" / "tied")
    assert (kept.target_codes == 0).any()
    right = PackedCodes.from_signs(np.where(kept.target_codes == 0, 1, kept.target_codes))
    np.testing.assert_array_equal(done.wrong.per_query, paired_hamming(kept.codes, right))
    clean = paired_hamming(kept.clean_codes, right)
    np.testing.assert_array_equal(done.wrong_clean.per_query, clean)
    database = load_codes(Run.open(encoded), "database")
    ceiling = targeted_mean_average_precision(
        right, database.codes, kept.target_labels, database.labels
    )
    np.testing.assert_allclose(done.ceiling.per_query, ceiling.per_query)


def test_stored_codes_that_the_network_does_not_give_are_refused(encoded):
    run = open_run(encoded)
    pixels = decode(run.data.query.take(np.arange(20)), run.hasher.contract)
    queries = Queries(pixels.images)
    check_stored(run.hasher, queries, run.query.codes[np.arange(20)], encoded)
    other = dataclasses.replace(run.query.codes, data=run.query.codes.data[::-1].copy())
    with pytest.raises(HashprobeError, match=r"of 256 bits of 16 queries differ.*encode again"):
        check_stored(run.hasher, queries, other[np.arange(20)], encoded)
