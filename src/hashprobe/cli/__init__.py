"""The command line, one file a command."""

from hashprobe.cli.app import main


__all__ = ["main"]
