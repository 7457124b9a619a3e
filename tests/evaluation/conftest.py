"""Naive twins of the measures: a loop over queries and one over places, nothing shared."""

import itertools
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.outcome import AttackCodes
from hashprobe.evaluation.scoring import evaluate_attack


@dataclass
class Problem:
    query_codes: PackedCodes
    database_codes: PackedCodes
    query_labels: np.ndarray
    database_labels: np.ndarray

    @property
    def arrays(self):
        return self.query_codes, self.database_codes, self.query_labels, self.database_labels

    def shuffled(self, seed):
        order = np.random.default_rng(seed).permutation(len(self.database_codes))
        moved = self.database_codes[order], self.query_labels, self.database_labels[order]
        return Problem(self.query_codes, *moved)


def make_problem(q=12, n=200, bits=16, classes=5, noise=0.2, multi=False, seed=0):
    """Codes scattered about one centre a class; with `multi`, some items carry two labels."""
    random = np.random.default_rng(seed)
    centres = random.random((classes, bits)) < 0.5

    def side(size):
        ids = random.integers(classes, size=size)
        labels = np.eye(classes, dtype=bool)[ids]
        if multi:
            labels |= np.eye(classes, dtype=bool)[random.integers(classes, size=size)]
        return PackedCodes.from_signs(centres[ids] ^ (random.random((size, bits)) < noise)), labels

    (queries, query_labels), (database, database_labels) = side(q), side(n)
    return Problem(queries, database, query_labels, database_labels)


def rows_of(problem):
    """Distances and relevance of each query as plain lists, counted bit by bit."""
    queries, database = (c.signs().tolist() for c in (problem.query_codes, problem.database_codes))
    for signs, labels in zip(queries, problem.query_labels.tolist(), strict=True):
        distances = [sum(a != b for a, b in zip(signs, other, strict=True)) for other in database]
        relevant = [
            any(a and b for a, b in zip(labels, other, strict=True))
            for other in problem.database_labels.tolist()
        ]
        yield distances, relevant


def average_precision(ranked, known, top, normaliser):
    """AP of a list of relevant or not, as a fraction; None for an empty query."""
    hits, total = 0, Fraction(0)
    for place, good in enumerate(ranked[:top], start=1):
        if good:
            hits += 1
            total += Fraction(hits, place)
    by = {"hits": hits, "min": min(known, top), "relevant": known}[normaliser]
    return total / by if by else None


def stable_order(distances, relevant):
    return [relevant[i] for i in sorted(range(len(distances)), key=lambda i: (distances[i], i))]


def every_order(distances, relevant):
    """Every distinct ranking that orders equal distances in some way, each as often as it occurs.

    Orders that differ only in items of the same relevance are the same ranking, and all distinct
    ones are equally frequent.
    """
    groups = []
    for d in sorted(set(distances)):
        group = [r for r, other in zip(relevant, distances, strict=True) if other == d]
        size, good = len(group), sum(group)
        groups.append(
            [
                [i in places for i in range(size)]
                for places in itertools.combinations(range(size), good)
            ]
        )
    for parts in itertools.product(*groups):
        yield list(itertools.chain.from_iterable(parts))


@dataclass
class Naive:
    average_precision = staticmethod(average_precision)
    stable_order = staticmethod(stable_order)
    every_order = staticmethod(every_order)
    rows_of = staticmethod(rows_of)


@pytest.fixture
def naive():
    return Naive


@pytest.fixture
def problem():
    return make_problem


class Fixed:
    """Codes at chosen distances from the one query: item i has its first d bits flipped."""

    @staticmethod
    def of(distances, relevant, bits=16):
        signs = np.ones((len(distances), bits), dtype=int)
        for row, distance in enumerate(distances):
            signs[row, :distance] = -1
        relevant = np.asarray(relevant, dtype=bool)
        labels = np.stack([relevant, ~relevant], axis=1)
        query = PackedCodes.from_signs(np.ones((1, bits)))
        wanted = np.array([[True, False]])
        return Problem(query, PackedCodes.from_signs(signs), wanted, labels)


@pytest.fixture
def fixed():
    return Fixed.of


CODES = ("query", "attacked", "target", "attacked_float", "after_codec")
OPTIONS = ("top", "normaliser", "ties", "empty", "bootstrap")


@pytest.fixture
def evaluate():
    """Sorts a flat dictionary into the nouns that `evaluate_attack` takes."""

    def call(arrays, **more):
        given = {**arrays, **more}
        codes = AttackCodes(**{name: given.pop(name) for name in CODES if name in given})
        options = MeasureOptions(**{name: given.pop(name) for name in OPTIONS if name in given})
        database = Codes(given.pop("database"), given.pop("database_labels", None))
        return evaluate_attack(codes, database, options=options, **given)

    return call


@pytest.fixture
def flipped():
    """Turns over a share of the bits of codes."""

    def call(codes, share, seed=0):
        random = np.random.default_rng(seed).random((len(codes), codes.bits))
        return PackedCodes.from_signs(codes.signs() * np.where(random < share, -1, 1))

    return call


@pytest.fixture
def attack(problem, flipped):
    """Targets are the next class; the attack moved every query to near its target code."""
    case = problem(q=20, noise=0.1)
    targets = np.roll(case.query_labels, 1, axis=1)
    members = [int(np.flatnonzero((case.database_labels & t).any(axis=1))[0]) for t in targets]
    target = case.database_codes[np.array(members)]
    return {
        "database": case.database_codes,
        "database_labels": case.database_labels,
        "query": case.query_codes,
        "query_labels": case.query_labels,
        "target_labels": targets,
        "target": target,
        "attacked": flipped(target, 0.1),
    }
