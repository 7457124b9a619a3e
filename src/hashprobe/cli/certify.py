"""hashprobe certify"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hashprobe.cli.flags import FLAT, Json, RuntimeFlags, print_json
from hashprobe.cli.output import say
from hashprobe.workflow.certificate import CertifyOptions


@dataclass(frozen=True)
class CertifyFlags(CertifyOptions):
    """The vote, the norms and the queries, as the command line takes them."""

    norms: Annotated[tuple[float, ...], Parameter(name="--norm", negative=())] = (0.02, 0.05, 0.1)
    """An l2 norm of the change, in units of white; may be repeated, growing. A change of eps in
    every value of an image of H x W has the norm eps sqrt(3 H W)."""


@dataclass(frozen=True)
class CertifyRuntime(RuntimeFlags):
    """How a certificate is computed."""

    batch_size: Annotated[int | None, Parameter(show_default=False)] = None
    """Noisy copies in the network at once; by default 100."""
    device: str = "auto"
    """auto (the GPU if there is one), cpu, cuda, cuda:1, ..."""


ASKED, RUNTIME = CertifyFlags(), CertifyRuntime()


def certify(
    run: Path,
    /,
    *,
    options: Annotated[CertifyFlags, FLAT] = ASKED,
    runtime: Annotated[CertifyRuntime, FLAT] = RUNTIME,
    json_: Json = False,
) -> None:
    """Print what no attack within an l2 norm can do to a run's vote, beside what attacks do.

    The code that is certified is the majority of --votes noisy copies of a picture, bit by bit, as
    the preprocessor smoothing computes it, never the network by itself. Bounds come from counting
    --samples copies of each query; the attacks know the vote but for its seed. RUN/certify/NAME
    keeps the table (certificate.json), its curves (curves.svg) and what the same command goes on
    from where it was stopped. A network of few known layers also gets l-infinity bounds.

    Parameters
    ----------
    run
        The run folder; it must be encoded, and of images.
    json_
        Print one JSON object and nothing else: what certificate.json holds.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.workflow.certify_step import certify_run

    found = certify_run(run, options, runtime.open(Terminal()))
    if json_:
        print_json(found.to_json())
        return
    say(found.markdown(), end="")
