from dataclasses import dataclass, replace

import numpy as np
import pytest

from hashprobe.report.content import AttackRow, Curve, Example, ReportData, Retrieved


SIGNATURE = "tMAP@1000|norm:hits|ties:stable|empty:zero|rel:any|q:100|db:50000|bits:32|v:0.1"


@dataclass(frozen=True)
class Value:
    value: float
    low: float | None
    high: float | None
    signature: str = SIGNATURE


@pytest.fixture(scope="session")
def number():
    """Makes a number: value and half-width of its interval."""

    def make(value, half=0.02, signature=SIGNATURE):
        if half is None:
            return Value(value, None, None, signature)
        return Value(value, max(0.0, value - half), min(1.0, value + half), signature)

    return make


@pytest.fixture(scope="session")
def rows(number):
    original = AttackRow("Original", "untouched", tmap=number(0.051), own_map=number(0.791))
    noise = AttackRow("Noise", "noise", "8/255", tmap=number(0.053), ceiling=number(0.874))
    p2p = AttackRow("P2P", "attack", "8/255", tmap=number(0.70), ceiling=number(0.72))
    dhta = AttackRow(
        "DHTA",
        "attack",
        "8/255",
        tmap=number(0.823),
        tmap_float=number(0.835),
        ceiling=number(0.874),
        lift=number(0.772),
        own_map=number(0.12),
        bits_wrong=number(1.25, signature="wrong bits|bits:32|v:0.1"),
        rmse=0.0215,
        linf=8.0,
        psnr=33.2,
        ssim=0.953,
        steps=2000,
    )
    return (original, noise, p2p, dhta)


@pytest.fixture(scope="session")
def make_example():
    """Makes an example of pictures of a size with label names."""

    def make(query="17", size=8, own="cat", target="dog", step=8):
        rng = np.random.default_rng(size)
        images = rng.integers(20, 200, (12, 3, size, size), dtype=np.uint8)
        twin = images[0] + rng.integers(0, step + 1, images[0].shape, dtype=np.uint8)
        first = Retrieved(images[1], (own,), 0, own=True, target=False)
        second = Retrieved(images[2], (target,), 1, own=False, target=True)
        third = Retrieved(images[3], ("other",), 12, own=False, target=False)
        both = replace(third, labels=(own, target), own=True, target=True)
        before, after = (first, first, third), (second, second, second, both)
        return Example(query, (own,), (target,), images[0], twin, before, after, "DHTA at 8/255")

    return make


@pytest.fixture(scope="session")
def data(rows, make_example, number):
    x = np.linspace(0.01, 1, 20)
    curves = tuple(Curve(name, x, 1 - x * f) for name, f in (("Original", 0.9), ("DHTA", 0.2)))
    lists = tuple(Curve(c.label, np.array([1, 10, 1000]), c.y[:3]) for c in curves)
    return ReportData(
        "How far can searches be steered?",
        facts=(("Network", "small"), ("Data", "digits")),
        bits=32,
        clean=number(0.791, signature="MAP@1000|norm:hits|v:0.1"),
        findings=("2 queries are also in the database",),
        rows=rows,
        pr_curves=curves,
        precision_curves=lists,
        examples=(make_example("17", 8), make_example("18", 100)),
        choice="Two queries, drawn at random.",
        commands=("hashprobe attack dhta runs/a --eps 8/255",),
        environment=(("Python", "3.11.2"),),
        notes=("A note.",),
        version="0.1.0",
        created="2026-11-24",
    )


@pytest.fixture
def make_clip():
    """Makes an example of clips: the frames that are shown, and how many of each result."""

    def make(frames=(3, 6, 9), side=16, results=(3, 3, 3)):
        rng = np.random.default_rng(side)
        images = rng.integers(20, 200, (len(frames), 3, side, side), dtype=np.uint8)
        twin = images + rng.integers(0, 9, images.shape, dtype=np.uint8)
        found = tuple(
            Retrieved(
                rng.integers(0, 256, (n, 3, side, side), dtype=np.uint8),
                ("cat",), 1, own=True, target=False,
            )
            for n in results
        )  # fmt: skip
        labels = ("cat",), ("dog",)
        return Example("17", *labels, images, twin, found, found[::-1], "DHTA", frames)

    return make
