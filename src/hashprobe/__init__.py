"""hashprobe: how far an adversary can move the results of hashing-based retrieval.

The packages in the order in which data flow: `data`, `models`, `codes`, `attacks`, `evaluation`,
`report`; `workflow` joins them over a run folder, and `hashprobe.cli` is the command line.
"""

from hashprobe.errors import HashprobeError
from hashprobe.types import Budget, InputContract


__all__ = ["Budget", "HashprobeError", "InputContract", "__version__"]


def __getattr__(name: str) -> str:
    # Reading the installed version costs more than the rest of this import.
    if name == "__version__":
        from importlib.metadata import version

        return version("hashprobe")
    raise AttributeError(f"module 'hashprobe' has no attribute {name!r}")
