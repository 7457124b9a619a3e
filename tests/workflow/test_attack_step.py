"""Attacks on a run folder: what they are measured against."""

import dataclasses

import numpy as np
import pytest

from hashprobe.attacks import prototypes
from hashprobe.attacks._bit_margin import BitMarginOptions
from hashprobe.attacks._dhta import DhtaOptions
from hashprobe.attacks._prosgan import ProsganOptions
from hashprobe.attacks._tha import ThaOptions
from hashprobe.attacks.registry import AttackSpec
from hashprobe.codes.packed import PackedCodes, paired_hamming
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.data.loader import decode
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measures import targeted_mean_average_precision
from hashprobe.storage.runs import Run
from hashprobe.types import Budget, Runtime
from hashprobe.workflow.attack_step import attack_run, check_stored, in_float32
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.run_io import load_codes, open_run

from ..crafting.work import Told


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
    assert check_stored(run.hasher, queries, run.query.codes[np.arange(20)], encoded)
    turned = run.query.codes.data[:20].copy()
    turned[3, 0] ^= 1  # one bit near 0: no mistake, but no longer what is known for certain
    near = dataclasses.replace(run.query.codes, data=turned)
    assert not check_stored(run.hasher, queries, near, encoded)
    other = dataclasses.replace(run.query.codes, data=run.query.codes.data[::-1].copy())
    with pytest.raises(HashprobeError, match=r"of 256 bits of 16 queries differ.*encode again"):
        check_stored(run.hasher, queries, other[np.arange(20)], encoded)


def test_codes_are_as_they_are_judged_where_they_were_computed_in_float32(encoded):
    run = Run.open(encoded)
    assert in_float32(run)
    run.log("encoded split", role="database", precision="bfloat16")
    assert in_float32(run)
    run.log("encoded split", role="query", precision="bfloat16")
    assert not in_float32(run)


def test_target_codes_by_name_are_named_in_folder_and_signature(encoded):
    """A sample of the database is another level of knowledge, and says so."""
    ceilings = {}
    for code, knows in ((None, None), ("ascent", None), ("ascent", 40)):
        protocol = Protocol(queries=3, target_code=code, knows=knows)
        spec = AttackSpec("bit-margin", BitMarginOptions(steps=2))
        done = attack_run(encoded, spec, protocol=protocol)
        ceilings[code, knows] = done.ceiling
        level = {None: "", "ascent": f"|code:ascent.L{'2' if knows is None else '1-40'}"}[code]
        head = f"tMAP@all|norm:hits|ties:stable|empty:zero{level}|rel"
        assert done.achieved.signature.startswith(head) and done.ceiling.signature.startswith(head)
        assert ("code:" in done.floor.signature) is False
    assert ceilings["ascent", None].value >= ceilings[None, None].value
    names = {path.name for path in (encoded / "attacks").glob("bit-margin-8of255-seed0*")}
    assert {"bit-margin-8of255-seed0-ascent", "bit-margin-8of255-seed0-ascent-40"} <= names
    with pytest.raises(HashprobeError, match="different measures"):
        ceilings["ascent", None] - ceilings["ascent", 40]


def test_voters_are_left_out_for_votes_alone(encoded):
    protocol = Protocol(queries=3, target_code="best", exclude_voters=True)
    with pytest.raises(HashprobeError, match="target code best has none: leave one of them out"):
        attack_run(encoded, AttackSpec("bit-margin"), protocol=protocol, name="voters")


def test_what_prosgan_trains_is_kept_in_the_run(encoded, monkeypatch):
    """Other queries, and a resumed attack, take the same networks."""
    monkeypatch.setattr(prototypes, "HIDDEN", 16)
    options = ProsganOptions(updates=2, batch=4, pictures=20)
    spec = AttackSpec("prosgan", options, Budget(64 / 255))
    done = attack_run(encoded, spec, protocol=Protocol(queries=3), name="gan")
    assert "|code:pairwise-prototype.L2|" in done.achieved.signature
    kept = {path.name: path.stat().st_mtime_ns for path in (encoded / "trained").iterdir()}
    assert sorted(name.partition("-")[0] for name in kept) == ["generator", "label"]
    told = Told()
    runtime = Runtime(progress=told)
    attack_run(encoded, spec, protocol=Protocol(queries=4), name="more", runtime=runtime)
    assert sum("as trained before" in line for line in told.lines) == 2
    (encoded / "attacks" / "gan" / "queries" / "0.npz").unlink(missing_ok=True)
    again = attack_run(encoded, spec, protocol=Protocol(queries=3), name="gan")
    np.testing.assert_array_equal(again.achieved.per_query, done.achieved.per_query)
    after = {path.name: path.stat().st_mtime_ns for path in (encoded / "trained").iterdir()}
    assert after == kept
    attack_run(encoded, AttackSpec("tha", ThaOptions(steps=1)), protocol=Protocol(queries=3))
    assert any(path.name.startswith("prototypes-") for path in (encoded / "trained").iterdir())
