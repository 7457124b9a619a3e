"""hashprobe fit-binariser"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hashprobe.cli.flags import FLAT, Flag, Json, RuntimeFlags, print_json
from hashprobe.cli.output import say
from hashprobe.cli.victim_flags import VictimFlags
from hashprobe.victims.binarise import Method


@dataclass(frozen=True)
class EmbeddingFlags(VictimFlags):
    """The options of a network of floats."""

    bits: Annotated[int | None, Parameter(parse=False)] = None
    binarise: Annotated[str | None, Parameter(parse=False)] = None


@dataclass(frozen=True)
class FitRuntime(RuntimeFlags):
    """How pictures are embedded."""

    cache: Annotated[Path | None, Parameter(parse=False)] = None
    cache_gb: Annotated[float, Parameter(parse=False)] = 4.0
    workers: int | None = None
    """Decoding processes; by default one for each core if a GPU computes, one for four if the CPU
    does."""
    device: str = "auto"
    """auto (the GPU if there is one), cpu, cuda, cuda:1, ..."""
    skip_bad: Flag = False
    """Leave out pictures that cannot be decoded."""


def fit_binariser(
    *,
    victim: str,
    pictures: Path,
    out: Path,
    method: Method = "itq",
    bits: int | None = None,
    seed: int = 0,
    network: Annotated[EmbeddingFlags, FLAT] = EmbeddingFlags(),
    runtime: Annotated[FitRuntime, FLAT] = FitRuntime(),
    json_: Json = False,
) -> None:
    """Fit what makes bits of a network's floats to a folder of pictures.

    The file goes to --binarise of other commands. It holds mean, matrix and thresholds: the bits
    are the signs of (z - mean) @ matrix - thresholds.

    Parameters
    ----------
    victim
        The network: a .pt2, TorchScript or .onnx file, weights with --backbone, package:factory, or
        a run folder.
    pictures
        A folder of pictures, at any depth; the more, the better.
    out
        The .npz file to write.
    method
        mean: signs of centred floats; median: each float against its median over the pictures; pca:
        signs of the leading principal components; itq: of these after the rotation that brings them
        nearest to their signs; random: along random directions.
    bits
        Bits of a code; by default as many as the network has floats.
    seed
        Seed of the random rotation (itq, random).
    json_
        Print one JSON object and nothing else: file, floats, bits, pictures, constant.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.workflow.fit_step import FitOptions, fit_on_pictures

    options, fit = network.options(), FitOptions(method, bits, seed)
    fitted = fit_on_pictures(
        victim, pictures, options=options, fit=fit, runtime=runtime.open(Terminal())
    )
    fitted.binariser.save(out)
    if json_:
        known = {"floats": fitted.binariser.floats, "bits": fitted.binariser.bits}
        counts = {"pictures": fitted.pictures, "constant": fitted.constant}
        print_json({"file": str(out), **known, **counts})
        return
    say(f"{out}: {fitted}")
