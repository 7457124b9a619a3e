"""hashprobe certify"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token

from hashprobe.cli.attack import parse_eps
from hashprobe.cli.flags import FLAT, ImageRuntimeFlags, Json, print_json
from hashprobe.cli.output import say
from hashprobe.workflow.certificate import CertifyOptions


def parse_norms(_: Any, tokens: tuple[Token, ...]) -> tuple[float, ...]:
    """Norms such as `8/255` or `0.05`.

    Example:
        >>> parse_norms(tuple, (Token(value="0.05"), Token(value="51/255")))
        (0.05, 0.2)
    """
    return tuple(parse_eps(float, (token,)) for token in tokens)


@dataclass(frozen=True)
class CertifyFlags(CertifyOptions):
    """The vote, the norms and the queries, as the command line takes them."""

    norms: Annotated[
        tuple[float, ...],
        Parameter(name="--norm", negative=(), converter=parse_norms, n_tokens=1),
    ] = (0.02, 0.05, 0.1)
    """An l2 norm of the change, in units of white, such as 0.05 or 8/255; may be repeated, growing.
    A change of eps in every value of an image of H x W has the norm eps sqrt(3 H W)."""
    sigma: Annotated[float, Parameter(converter=parse_eps)] = 0.1
    """Deviation of the noise of each copy, 0.001 to 1, in units of white, such as 0.1 or 16/255."""


@dataclass(frozen=True)
class CertifyRuntime(ImageRuntimeFlags):
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
    keeps the table (certificate-KEY.json), its curves (curves-KEY.svg; KEY is of all options)
    and what the same command goes on from where it was stopped. A network of few known layers also
    gets l-infinity bounds.

    Parameters
    ----------
    run
        The run folder; it must be encoded, and of images.
    json_
        Print one JSON object and nothing else: what certificate-KEY.json holds.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.workflow.certify_step import certify_run

    found = certify_run(run, options, runtime.open(Terminal()))
    if json_:
        print_json(found.to_json())
        return
    say(found.markdown(), end="")
