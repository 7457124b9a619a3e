"""hashprobe encode"""

from pathlib import Path

from hashprobe.commands.flags import Flag


def encode(
    run: Path,
    /,
    *,
    top: int | None = None,
    batch_size: int = 256,
    device: str = "auto",
    workers: int | None = None,
    skip_bad: Flag = False,
) -> None:
    """Encode the queries and the database of a trained run, and print its MAP.

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
        Decoding processes; by default one a core.
    skip_bad
        Go on without images that cannot be decoded, and say how many.
    """
    from hashprobe.commands.screen import Terminal
    from hashprobe.workflow import encode_run

    result = encode_run(
        run,
        top=top,
        batch_size=batch_size,
        device=device,
        workers=workers,
        skip_bad=skip_bad,
        screen=Terminal(),
    )
    print(f"MAP {result}  {result.signature}")
