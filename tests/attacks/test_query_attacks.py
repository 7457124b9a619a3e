"""Attacks that see only answers: what they reach, what they ask, and what they never touch."""

import dataclasses

import numpy as np
import pytest
import torch

from hashprobe.attacks._nes import NesOptions, estimated, nes_search
from hashprobe.attacks._square import SquareOptions, side_of, square_search
from hashprobe.attacks.climb import Climb, chances, climb_of
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.oracle import Oracle
from hashprobe.attacks.search import Search
from hashprobe.codes.packed import PackedCodes, hamming
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.optim.box import Box
from hashprobe.types import Budget, InputContract, Runtime
from hashprobe.victims.base import Hasher
from hashprobe.victims.encoding import encode


BUDGET = Budget(32 / 255)
SEARCHES = {"square": (square_search, SquareOptions), "nes": (nes_search, NesOptions)}


class BlackBox(Hasher):
    """Bits of block means; counts pictures, and raises where a gradient is asked for."""

    def __init__(self):
        super().__init__(16, InputContract(size=8))
        self.shown = []

    def forward(self, images):
        if torch.is_grad_enabled() or images.requires_grad:
            raise AssertionError("a gradient was asked for")
        eights = images * 255
        assert (eights - eights.round()).abs().max() < 1e-3, "not an 8-bit picture"
        self.shown.append(len(images))
        blocks = torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), 2).flatten(1)
        return blocks - blocks.median(1, keepdim=True).values + 1e-4


@pytest.fixture
def case():
    """Queries that are in the database, among others."""
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(60, 196, (30, 3, 8, 8), dtype=np.uint8))
    victim = BlackBox()
    with torch.no_grad():
        database = encode(victim, Queries(pixels.float() / 255))
    victim.shown.clear()
    return victim, Queries(pixels[:6].float() / 255, (5, 9, 2, 7, 1, 3)), database


def attacked(name, case, search, most=150, seed=0, budget=BUDGET, runtime=Runtime(), **options):
    run, kind = SEARCHES[name]
    goal = search if isinstance(search, Goal) else Goal(search=search)
    options = kind(query_budget=most, **options)
    return run(case[0], case[1], goal, budget=budget, options=options, seed=seed, runtime=runtime)


def service(case, wish="leave", **more):
    items = np.arange(6)[:, None] + (0 if wish == "leave" else 12)
    return Search(case[2], items, more.pop("radius", 4), wish, **{"top": 30, **more})


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("distances", [True, False])
@pytest.mark.parametrize("wish", ["leave", "enter"])
def test_goals_are_reached_by_asking_alone(name, distances, wish, case):
    search = service(case, wish, radius=4 if wish == "leave" else 6, top=30 if distances else 8)
    trace = attacked(name, case, search, distances=distances)
    assert trace.asked.sum() >= sum(case[0].shown)  # a target's picture is asked, not encoded
    assert (trace.asked <= 150).all()
    with torch.no_grad():
        codes = encode(case[0], Queries(trace.images))
    near = hamming(codes, case[2])[np.arange(6), search.items[:, 0]]
    done = trace.done_at >= 0
    assert done.mean() >= (0.5 if distances else 0.1)
    if distances:
        np.testing.assert_array_equal(done, near > 4 if wish == "leave" else near <= 6)
    assert (trace.done_at[done] == trace.asked[done]).all()
    assert (trace.asked[~done] == 150).all()
    assert ((trace.images - case[1].pixels).abs() <= 32 / 255 + 1e-6).all()


@pytest.mark.parametrize("name", SEARCHES)
def test_all_items_can_be_left(name, case):
    search = Search(case[2], np.full((6, 1), -1), 0)
    trace = attacked(name, case, search)
    with torch.no_grad():
        near = hamming(encode(case[0], Queries(trace.images)), case[2]).min(axis=1)
    assert (near[trace.done_at >= 0] > 0).all()
    assert (trace.done_at >= 0).any()


@pytest.mark.parametrize("name", SEARCHES)
def test_codes_are_reached_without_a_database(name, case):
    random = np.random.default_rng(1)
    target = case[2][:6].signs() * np.where(random.random((6, 16)) < 0.2, -1, 1)
    trace = attacked(name, case, Goal.targeted(target))
    with torch.no_grad():
        signs = encode(case[0], Queries(trace.images)).signs()
    wrong = (signs != target).sum(axis=1)
    assert (-trace.scores == wrong).all()
    assert wrong.sum() < (case[2][:6].signs() != target).sum()
    away = attacked(name, case, Goal.untargeted())
    with torch.no_grad():
        moved = (encode(case[0], Queries(away.images)).signs() != case[2][:6].signs()).sum(axis=1)
    assert (16 + away.scores == moved).all() and moved.min() >= 3


@pytest.mark.parametrize("name", SEARCHES)
def test_a_query_leaves_when_enough_bits_are_there(name, case):
    stored = case[2].signs()
    pairs = [[stored[row], stored[row]] if row else [stored[0], stored[12]] for row in range(6)]
    for goal in (
        Goal.collide(stored[12:18], radius=6),
        Goal.evade([stored[row : row + 1] for row in range(6)], radius=3),
        Goal.evade(pairs, radius=2),
    ):
        trace = attacked(name, case, goal)
        with torch.no_grad():
            near = hamming(encode(case[0], Queries(trace.images)), case[2])
        if goal.enough == 10:
            there = near[np.arange(6), np.arange(12, 18)] <= 6
        else:
            there = near[np.arange(6), np.arange(6)] >= goal.enough
            if goal.all_of is not None:
                there[0] &= near[0, 12] >= goal.enough
        np.testing.assert_array_equal(trace.done_at >= 0, there)
        assert there.any()
        assert (trace.asked[~there] == 150).all()


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("most", [1, 2, 3, 8])
def test_the_budget_of_queries_is_never_exceeded(name, most, case):
    for distances in (True, False):
        case[0].shown.clear()
        trace = attacked(name, case, service(case, "enter"), most, distances=distances)
        assert (trace.asked <= most).all()
        assert sum(case[0].shown) <= 6 * most


@pytest.mark.parametrize("name", SEARCHES)
def test_chance_depends_on_seed_and_query_alone(name, case):
    victim, queries, database = case
    search = service(case, radius=8)
    whole = attacked(name, case, search, 40)
    assert torch.equal(whole.images, attacked(name, case, search, 40).images)
    assert not torch.equal(whole.images, attacked(name, case, search, 40, seed=1).images)
    rows = [4, 1]
    part = attacked(
        name, (victim, queries.take(rows), database), search.take(rows), 40,
        runtime=Runtime(batch_size=1),
    )  # fmt: skip
    assert torch.equal(part.images, whole.images[rows])
    assert part.asked.tolist() == whole.asked[rows].tolist()


@pytest.mark.parametrize("name", SEARCHES)
def test_a_query_that_is_there_already_asks_once(name, case):
    far = Search(case[2], np.arange(20, 26)[:, None], 0)
    trace = attacked(name, case, far)
    assert trace.asked.tolist() == [1] * 6
    assert torch.equal(trace.images, case[1].pixels)
    assert trace.needed.tolist() == [1] * 6


class Thermometer(Hasher):
    """Bit k is whether the picture is brighter than k / 256."""

    def __init__(self):
        super().__init__(256, InputContract(size=8))

    def forward(self, images):
        return images.mean((1, 2, 3))[:, None] - torch.arange(256).to(images) / 256


def test_an_estimate_points_to_where_the_score_rises():
    queries, options = Queries(torch.full((4, 3, 8, 8), 0.5)), NesOptions(samples=10)
    goal = Goal.targeted(np.ones((4, 256)))
    climb = climb_of(Thermometer(), queries, goal, BUDGET, options, Runtime())
    climb.begin()
    current, reach = climb.clean([0, 1, 2, 3]), torch.full((4, 3, 1, 1), 32.0)
    estimate = estimated(climb, current, reach, options, chances(0, queries))
    assert (estimate.sum((1, 2, 3)) > 0).all()
    assert climb.oracle.asked.tolist() == [11] * 4
    options = NesOptions(query_budget=130)
    trace = nes_search(Thermometer(), queries, goal, budget=BUDGET, options=options)
    assert trace.images.mean() > 0.53  # the best of 120 random pictures is about 0.517


def test_squares_get_smaller_by_the_schedule(case):
    oracle = Oracle(case[0], np.ones((1, 16), np.int8), most=10_000)
    queries = Queries(torch.rand(1, 3, 100, 100))
    box = Box.around(queries.pixels, BUDGET, case[0].contract, eight_bit=True)
    climb = Climb(oracle, queries, box, None, None)
    options = SquareOptions(query_budget=10_000, area=0.64)
    for spent, side in ((0, 80), (11, 57), (201, 28), (10_000, 4)):
        oracle.asked[0] = spent
        assert side_of(climb, 0, options) == side


def test_a_square_never_repeats_a_picture(case):
    """Each query shows another picture than the one before it, so none is wasted."""

    class Watching(BlackBox):
        last = None

        def forward(self, images):
            if self.last is not None:
                assert not torch.equal(images, self.last)
            self.last = images.clone()
            return super().forward(images)

    one = (Watching(), case[1].take([0]), case[2])
    attacked("square", one, Search(case[2], np.array([[0]]), 16 - 1), 60)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (SquareOptions, {"area": 0.0}),
        (SquareOptions, {"start": "rings"}),
        (SquareOptions, {"query_budget": 0}),
        (SquareOptions, {"tie": "minus"}),
        (NesOptions, {"samples": 1}),
        (NesOptions, {"spread": 0.0}),
        (NesOptions, {"momentum": 1.0}),
        (NesOptions, {"tiles": 0}),
    ],
)
def test_options_out_of_range_are_one_sentence(kind, options):
    with pytest.raises(HashprobeError, match=next(iter(options))):
        kind(**options)


def test_goals_that_do_not_fit_are_one_sentence(case):
    with pytest.raises(HashprobeError, match="5 goals of a search for 6 queries"):
        attacked("square", case, service(case).take(np.arange(5)))
    with pytest.raises(HashprobeError, match="which need a database"):
        attacked("square", case, Goal.untargeted(), distances=False)
    other = dataclasses.replace(service(case), database=PackedCodes.from_signs(np.ones((30, 8))))
    with pytest.raises(HashprobeError, match="codes of 8 bits, the victim 16"):
        attacked("nes", case, other)
    with pytest.raises(HashprobeError, match="no 8-bit pixel can change"):
        attacked("nes", case, service(case), budget=Budget(0.3 / 255))


@pytest.mark.parametrize("name", SEARCHES)
def test_pictures_of_a_surrogate_are_where_it_begins(name, case):
    """A start that is there already costs two queries; one beyond the budget is clipped to it."""
    search, first = service(case), attacked(name, case, service(case))
    done = first.done_at >= 0
    assert done.any()
    start = Queries((first.images * 255).round().to(torch.uint8), case[1].ids)
    again = attacked(name, case, Goal(search=search, start=start))
    assert (again.done_at[done] == 2).all()
    assert torch.equal(again.images[done], first.images[done])

    white = Queries(torch.full((6, 3, 8, 8), 255, dtype=torch.uint8), case[1].ids)
    far = attacked(name, case, Goal(search=search, start=white), most=2)
    moved = far.images - case[1].pixels
    assert (moved <= 32 / 255 + 1e-6).all() and (moved >= -1e-6).all() and moved.max() > 0.12
    with pytest.raises(HashprobeError, match=r"shape of the queries, \(6, 3, 8, 8\); got"):
        attacked(name, case, Goal(search=search, start=Queries(torch.zeros(6, 3, 4, 4))))
    with pytest.raises(HashprobeError, match="2 pictures to begin with"):
        Goal(search=search, start=start.take([0, 1]))
