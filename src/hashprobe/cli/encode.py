"""hashprobe encode"""

from pathlib import Path
from typing import Literal

from hashprobe.cli.flags import Cache, CacheFlags, Flag


def encode(
    run: Path,
    /,
    *,
    top: int | None = None,
    batch_size: int = 256,
    device: str = "auto",
    workers: int | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
    skip_bad: Flag = False,
    cache: CacheFlags = Cache(),  # noqa: B008
) -> None:
    """Encode the queries and the database of a trained run, and print its MAP.

    Memory does not grow with the pictures; stopped, the same command goes on where it was.

    Parameters
    ----------
    run
        The run folder.
    top
        List length of the MAP; by default the whole database.
    batch_size
        Images encoded at once.
    device
        auto (the GPU if there is one), cpu, cuda, cuda:1, ...
    workers
        Decoding processes; by default one a core beside a GPU, one for four cores without, and none
        for data in memory.
    precision
        What the network computes in; bfloat16 is faster where the processor has it, and turns over
        a few bits whose logit is near 0.
    skip_bad
        Go on without images that cannot be decoded, and say how many.
    """
    from hashprobe.audit.encode_step import encode_run
    from hashprobe.cli.terminal import Terminal

    result = encode_run(
        run,
        top=top,
        batch_size=batch_size,
        device=device,
        workers=workers,
        precision=precision,
        skip_bad=skip_bad,
        cache=cache.open(),
        screen=Terminal(),
    )
    print(f"MAP {result}  {result.signature}")
