"""A run is a folder: what was asked, where it ran, what happened, and what came out.

    run.json          format, version, time, one configuration section per command
    environment.json  Python, platform, processors, packages
    metrics.jsonl     one JSON object per event, in order of time
    checksums.json    SHA-256 of the files that other commands build on
    .lock             process and host of the command that writes, while it does

Every file but the log is written to a sibling and renamed; the log is flushed line by line. A run
that was killed at any moment can be opened, shown and resumed. No part of it may be a link. No
pickle is loaded.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, Required, TypedDict

from hashprobe.errors import HashprobeError
from hashprobe.storage.differences import differences
from hashprobe.storage.environment import environment, hashprobe_version
from hashprobe.storage.files import (
    fingerprint,
    jsonable,
    os_error,
    read_json,
    regular_size,
    sha256_file,
    write_json,
)
from hashprobe.storage.guards import refuse_links, refuse_special
from hashprobe.storage.lock import LOCK
from hashprobe.storage.records import as_record, read_record, record_in
from hashprobe.storage.strict_json import parse_json, shown_short
from hashprobe.text import restorable


__all__ = ["FORMAT", "Run"]

FORMAT = 1
"""The version of the folder's layout that this hashprobe writes and reads."""


class RunFile(TypedDict, total=False):
    """What run.json holds.

    Example:
        >>> RunFile(format=1, config={"train": {"bits": 32}})["format"]
        1
    """

    format: Required[int]
    hashprobe: str
    created: str
    config: dict[str, dict[str, Any]]


class EventLine(TypedDict):
    """What every line of metrics.jsonl holds.

    Example:
        >>> EventLine(event="epoch")["event"]
        'epoch'
    """

    event: str


@dataclass(frozen=True)
class Run:
    """A run folder that exists; `create` makes one, `open` opens one.

    Example:
        >>> import tempfile
        >>> run = Run.create(Path(tempfile.mkdtemp()) / "a", {"train": {"bits": 32}})
        >>> run.log("epoch", epoch=1, loss=0.5)
        >>> again = Run.open(run.path)
        >>> again.config["train"], [event["loss"] for event in again.events("epoch")]
        ({'bits': 32}, [0.5])
    """

    path: Path
    """The folder."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """One section per command, as JSON: `train`, `encode`, ..."""
    created: str = ""
    """When the folder was made, ISO 8601 in UTC."""
    version: str = ""
    """The hashprobe that made it."""

    @classmethod
    def create(cls, path: str | PurePath, config: Mapping[str, object]) -> "Run":
        """Makes a run folder, or opens the one that exists with the same configuration.

        Args:
            path: the folder; its parents are made too.
            config: section name to options (a mapping or a dataclass that is JSON-able).

        Returns:
            The run. Sections of an existing run that `config` does not name are kept.

        Raises:
            HashprobeError: the folder holds other files, or a run whose sections differ (the
                first differing option is named), or cannot be written.

        Example:
            >>> import tempfile
            >>> folder = Path(tempfile.mkdtemp())
            >>> first = Run.create(folder, {"train": {"bits": 32}})
            >>> Run.create(folder, {"train": {"bits": 48}})
            Traceback (most recent call last):
            ...
            hashprobe.errors.HashprobeError: ... holds a run with another configuration \
(train.bits: 32 there, 48 here): choose another folder or remove that one
        """
        folder, wanted = Path(path), jsonable(config)
        if (folder / "run.json").exists():
            run = cls.open(folder)
            there = {name: run.config[name] for name in wanted if name in run.config}
            here = {name: wanted[name] for name in there}
            if fingerprint(there) != fingerprint(here):
                raise HashprobeError(
                    f"{folder} holds a run with another configuration "
                    f"({differences(there, here)[0]}): choose another folder or remove that one"
                )
            missing = {name: wanted[name] for name in wanted if name not in there}
            return run.saved({**run.config, **missing}) if missing else run
        refuse_strangers(folder)
        run = cls(folder, {}, datetime.now(UTC).isoformat(timespec="seconds"), hashprobe_version())
        run = run.saved(wanted)
        write_json(folder / "environment.json", environment())
        return run

    @classmethod
    def open(cls, path: str | PurePath) -> "Run":
        """Opens a run folder.

        Args:
            path: the folder.

        Raises:
            HashprobeError: it is not a run folder, has another format, its run.json is damaged, or
                one of its parts is a link.

        Example:
            >>> Run.open("no/such/folder")
            Traceback (most recent call last):
            ...
            hashprobe.errors.HashprobeError: no/such/folder does not exist
        """
        folder = Path(path)
        if not folder.exists():
            raise HashprobeError(f"{folder} does not exist")
        refuse_links(folder)
        if not (folder / "run.json").is_file():
            raise HashprobeError(f"{folder} is not a run folder: it has no run.json")
        content = read_json(folder / "run.json")
        if not isinstance(content, dict) or "format" not in content:
            raise HashprobeError(f"{folder / 'run.json'} is not of a run: it states no format")
        if content["format"] != FORMAT:
            there = shown_short(content["format"])
            raise HashprobeError(
                f"{folder} has run format {there}, written by hashprobe "
                f"{content.get('hashprobe', 'unknown')!s:.20}; hashprobe {hashprobe_version()} "
                f"reads format {FORMAT}: use that version, or run again"
            )
        kept: RunFile = record_in(folder / "run.json", content, RunFile)
        created, version = kept.get("created", ""), kept.get("hashprobe", "")
        return cls(folder, content.get("config", {}), created, version)

    def saved(self, config: Mapping[str, Any]) -> "Run":
        """This run with another configuration, on the disk as well.

        Args:
            config: section name to JSON value; it replaces the present one.

        Raises:
            HashprobeError: the configuration is not JSON, or the folder cannot be written.

        Example:
            >>> import tempfile
            >>> run = Run.create(Path(tempfile.mkdtemp()), {"train": {"bits": 32}})
            >>> sorted(run.saved({**run.config, "encode": {"batch": 64}}).config)
            ['encode', 'train']
        """
        content = {
            "format": FORMAT,
            "hashprobe": self.version,
            "created": self.created,
            "config": jsonable(config),
        }
        write_json(self.path / "run.json", content)
        return replace(self, config=content["config"])

    def log(self, event: str, **values: object) -> None:
        """Appends one event to metrics.jsonl and waits until it is on the disk.

        Args:
            event: its kind, such as `epoch`.
            values: what happened, JSON-able; `time` (ISO 8601, UTC) is added.

        Raises:
            HashprobeError: a value is not JSON (NaN included), or the disk refuses.

        Example:
            >>> import tempfile
            >>> run = Run.create(Path(tempfile.mkdtemp()), {})
            >>> run.log("encoded", split="query", items=200)
            >>> run.events()[0]["items"]
            200
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = {"time": now, "event": event, **jsonable(values)}
        line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        append_line(self.path / "metrics.jsonl", restorable(line))

    def events(self, kind: str | None = None, of: Any = dict[str, Any]) -> list[dict[str, Any]]:
        """The events so far, in order, without an incomplete last line.

        Args:
            kind: only events of this kind; None gives all.
            of: what each of them must be, such as a typed dictionary.

        Raises:
            HashprobeError: a line before the last is damaged, or the file may not be read.

        Example:
            >>> import tempfile
            >>> Run.create(Path(tempfile.mkdtemp()), {}).events()
            []
        """
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        try:
            regular_size(path)
            lines = path.read_bytes().split(b"\n")
        except OSError as error:
            raise os_error(error, path) from error
        events = []
        for number, line in enumerate(lines, 1):
            try:
                event = parse_json(line, "it")
                known: EventLine = as_record(event, EventLine)
                if kind is None or known["event"] == kind:
                    as_record(event, of)
                    events.append(event)
            except HashprobeError as error:
                if number < len(lines):
                    raise HashprobeError(f"{path} is damaged in line {number}: {error}") from error
        return events

    def seal(self, *names: str) -> None:
        """Adds the SHA-256 of files of this run to checksums.json.

        Args:
            names: paths relative to the folder.

        Raises:
            HashprobeError: a file is missing, or the disk refuses.

        Example:
            >>> import tempfile
            >>> run = Run.create(Path(tempfile.mkdtemp()), {})
            >>> run.seal("run.json")
            >>> run.check_seals()
        """
        sums = {name: sha256_file(self.path / name) for name in names}
        write_json(self.path / "checksums.json", dict(sorted({**self.seals(), **sums}.items())))

    def check_seals(self, *names: str) -> None:
        """Compares files with their recorded checksums.

        Args:
            names: the files to check, relative to the folder; none means all that are recorded.

        Raises:
            HashprobeError: a file was never recorded, is missing, or has changed since.

        Example:
            >>> import tempfile
            >>> run = Run.create(Path(tempfile.mkdtemp()), {})
            >>> run.check_seals("codes.npz")
            Traceback (most recent call last):
            ...
            hashprobe.errors.HashprobeError: ... codes.npz has no checksum: it was not finished
        """
        recorded = self.seals()
        for name in names or recorded:
            if name not in recorded:
                raise HashprobeError(f"{self.path}: {name} has no checksum: it was not finished")
            if sha256_file(self.path / name) != recorded[name]:
                raise HashprobeError(f"{self.path / name} has changed since this run wrote it")

    def finished(self, *names: str) -> bool:
        """Whether all of some files exist and have a recorded checksum.

        Args:
            names: paths relative to the folder.

        Raises:
            HashprobeError: checksums.json is damaged.

        Example:
            >>> import tempfile
            >>> run = Run.create(Path(tempfile.mkdtemp()), {})
            >>> run.finished("run.json")
            False
            >>> run.seal("run.json")
            >>> run.finished("run.json")
            True
        """
        recorded = self.seals()
        return all(name in recorded and (self.path / name).is_file() for name in names)

    def seals(self) -> dict[str, str]:
        """The checksums recorded so far.

        Returns:
            Path relative to the folder to SHA-256 in hexadecimal.

        Raises:
            HashprobeError: checksums.json is damaged.

        Example:
            >>> import tempfile
            >>> Run.create(Path(tempfile.mkdtemp()), {}).seals()
            {}
        """
        path = self.path / "checksums.json"
        if not path.exists():
            return {}
        sums: dict[str, str] = read_record(path, dict[str, str])
        return sums


def refuse_strangers(folder: Path) -> None:
    """Refuses a folder that holds files which do not belong to a run."""
    try:
        if folder.exists() and not folder.is_dir():
            raise HashprobeError(f"{folder} is a file; a run needs a folder")
        others = [] if not folder.exists() else sorted(p.name for p in folder.iterdir())
    except OSError as error:
        raise os_error(error, folder) from error
    others = [name for name in others if not name.endswith(".part") and name != LOCK]
    if others:
        raise HashprobeError(
            f"{folder} is no run folder and not empty (it holds {others[0]}): choose a new folder"
        )


def append_line(path: Path, line: bytes) -> None:
    """Appends a whole line and flushes it; an incomplete last line is removed first."""
    refuse_special(path)
    if path.exists():
        regular_size(path)
    try:
        with path.open("a+b") as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, end - 1))
            if end and stream.read(1) != b"\n":
                stream.seek(0)
                stream.truncate(stream.read().rfind(b"\n") + 1)
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise os_error(error, path) from error
