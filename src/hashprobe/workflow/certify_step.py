"""Certify the vote of a run's network, and attack it within the same norms."""

from contextlib import ExitStack
from pathlib import Path

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.certified_votes import largest_radius
from hashprobe.storage.files import write_bytes, write_json
from hashprobe.storage.lock import hold, refuse_held
from hashprobe.types import Runtime
from hashprobe.workflow.certificate import (
    CertifyOptions,
    RunCertificate,
)
from hashprobe.workflow.certify_bench import SHARD, CertifyBench
from hashprobe.workflow.drawing import draw_queries
from hashprobe.workflow.expected import forward_seconds, say_expected
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.reading import Reader
from hashprobe.workflow.run_io import open_run, pick_device


def certify_run(
    run: Path, options: CertifyOptions = CertifyOptions(), runtime: Runtime = Runtime()
) -> RunCertificate:
    """What no change of a norm can do to the results of a run, beside what an attack does.

    Noisy copies of queries are counted, and each bit of the vote gets a radius (`certify_votes`).
    From the bits that may turn over follow bounds of MAP and of the match rate. The same vote is
    attacked within the same norms by an adversary who knows it but for its seed: away from the vote
    of all database codes that share a label, and away from the own code. For a network of few known
    layers l-infinity bounds of the network itself follow (`crown_bounds`).

    Counts and attacked codes are kept in certify/NAME of the run; the same call goes on from them.

    Args:
        run: an encoded run of images.
        options: the vote, the norms, the queries.
        runtime: device, batch size, who is told.

    Returns:
        A row for each norm, also in certify/NAME/certificate-KEY.json; curves are in
        curves-KEY.svg. NAME and KEY are of the options.

    Raises:
        HashprobeError: the run is not encoded, takes clips, or is held by another process; or there
            are too few samples to certify any bit.

    Example:
        >>> certify_run(Path("no/such/run"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no/such/run does not exist
    """
    device, victim = pick_device(runtime.device), open_run(run)
    if victim.hasher.contract.frames:
        raise HashprobeError(
            f"certify is for runs of images, and {run} takes clips: no vote of noisy clips is built"
        )
    refuse_held(victim.run.path)
    radius = victim.hasher.bits // 8 if options.radius is None else options.radius
    if radius > victim.hasher.bits:
        raise HashprobeError(f"radius must be 0 to {victim.hasher.bits}, the bits; got {radius}")
    largest = largest_radius(
        victim.hasher.bits,
        options.samples,
        options.sigma,
        error=options.error,
        votes=options.votes,
        miss=options.miss,
    )
    rows = draw_queries(len(victim.query), Protocol(queries=options.queries, seed=options.seed))
    with ExitStack() as scratch:
        scratch.enter_context(hold(victim.run.path))
        places = victim.query.positions[rows]
        clean = Reader(victim, runtime, scratch).read(victim.data.query, places)
        victim.hasher.to(device)
        bench = CertifyBench(victim, options, runtime, rows, clean.on("cpu"), radius)
        if not any(bench.folder.glob("*.npz")):  # else much may be done already
            seconds = forward_seconds(victim.hasher, bench.passes, clean.pixels[:SHARD], None)
            say_expected(runtime.progress, "certify", seconds)
        found, left_out = [*bench.of_vote()], list(bench.refused)
        try:
            found += bench.of_network()
        except HashprobeError as error:
            left_out.append(f"No l-infinity bounds: {error}.")
        result = RunCertificate(
            str(run), options, victim.hasher.bits, radius, largest, tuple(found), tuple(left_out)
        )
        write_json(bench.folder / f"certificate-{options.key}.json", result.to_json())
        write_bytes(bench.folder / f"curves-{options.key}.svg", result.figure().encode())
    return result
