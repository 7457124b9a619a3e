"""hashprobe encode"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from hashprobe.cli.cluster import ClusterRuntime
from hashprobe.cli.flags import FLAT, Flag, Json, print_json
from hashprobe.cli.output import say
from hashprobe.types import Precision


@dataclass(frozen=True)
class EncodeRuntime(ClusterRuntime):
    """How pictures are encoded."""

    workers: int | None = None
    """Decoding processes; by default one for each core if a GPU encodes, one for four cores if the
    CPU does, and none for data in memory."""
    batch_size: int = 256
    """Images decoded and encoded at once; the network of a CPU takes at most 20 MiB at a time."""
    device: str = "auto"
    """auto (the GPU if there is one), cpu, cuda, cuda:1, ..."""
    precision: Precision = "float32"
    """What the network computes in. bfloat16 is faster if the processor supports it, and changes a
    few bits whose logit is near 0."""
    skip_bad: Flag = False
    """Leave out images that cannot be decoded, and print how many."""


def encode(
    run: Path,
    /,
    *,
    top: int | None = None,
    runtime: Annotated[EncodeRuntime, FLAT] = EncodeRuntime(),
    json_: Json = False,
) -> None:
    """Encode the queries and the database of a trained run, and print its MAP.

    Memory does not grow with the number of pictures. The same command resumes an encoding that was
    stopped.

    Parameters
    ----------
    run
        The run folder; it must be trained.
    top
        List length of the MAP; by default the whole database.
    json_
        Print one JSON object and nothing else: map, with value, interval and signature.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.workflow.encode_step import encode_run

    result = encode_run(run, top=top, runtime=runtime.open(Terminal()))
    if json_:
        print_json({"map": result.to_json()})
        return
    say(f"MAP {result}  {result.signature}")
