"""Values out of JSON against types: the field, what was seen, what is wanted."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import pytest

from hashprobe.errors import HashprobeError
from hashprobe.storage.files import write_json
from hashprobe.storage.records import Count, Name, as_record, read_record
from hashprobe.types import Budget, InputContract


@dataclass(frozen=True)
class Options:
    name: str
    root: Path | None = None
    tie: Literal["plus", "zero"] | None = "plus"
    sizes: tuple[int, ...] = ()


class Record(TypedDict):
    seed: Count
    options: NotRequired[Options]
    parts: NotRequired[dict[str, dict[str, list[float | None]]]]
    budget: NotRequired[Budget | None]
    name: NotRequired[Name]
    some: NotRequired[Annotated[list[int], msgspec.Meta(min_length=1)]]


def test_a_record_is_read_as_its_type(tmp_path):
    given = {"name": "digits", "root": "a/b", "tie": None, "sizes": [1, 2], "later": 3}
    wanted = Options("digits", Path("a/b"), None, (1, 2))
    assert as_record(given, Options) == wanted
    write_json(tmp_path / "a.json", {"seed": 1, "options": given, "budget": {"eps": 1}})
    record = read_record(tmp_path / "a.json", Record)
    assert record == {"seed": 1, "options": wanted, "budget": Budget(1.0)}
    assert as_record({"size": 8, "mean": [0, 0.5, 1]}, InputContract).mean == (0.0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": "1"}, "seed must be a whole number; got '1'"),
        ({"seed": None}, "seed must be a whole number; got null"),
        ({"seed": True}, "seed must be a whole number; got true"),
        ({"seed": 1.0}, "seed must be a whole number; got 1.0"),
        ({"seed": -1}, "seed must be a whole number >= 0; got -1"),
        ({"seed": 10**30}, f"seed must be a whole number <= {2**63 - 1}; got {10**30}"),
        ({"options": []}, "options must be an object; got a list"),
        ({"options": {}}, "options.name is missing"),
        ({"options": {"name": "a", "root": 7}}, "options.root must be text; got 7"),
        ({"options": {"name": "a", "tie": "no"}}, "options.tie must be plus or zero; got 'no'"),
        (
            {"options": {"name": "a", "sizes": [1, {}]}},
            "options.sizes[1] must be a whole number; got an object",
        ),
        (
            {"parts": {"a": {"b": [1]}, "c.d": {"e": [None, 1], "f": [2, "x"]}}},
            "parts.c.d.f[1] must be a number or null; got 'x'",
        ),
        ({"parts": {"a": 1}}, "parts.a must be an object; got 1"),
        ({"parts": {"a": {"b": [10**400]}}}, "parts.a.b[0] must be a number that a float can hold"),
        ({"budget": {"eps": -1}}, "budget: eps must be above 0"),
        ({"budget": {"frames": []}}, "budget.frames must be a whole number or null; got a list"),
        ({"name": ""}, "name must be text of 1 or more; got ''"),
        ({"some": []}, "some must be a list of 1 or more; got a list"),
    ],
)
def test_a_field_of_another_type_is_named(tmp_path, change, words):
    with pytest.raises(HashprobeError) as caught:
        as_record({"seed": 1, **change}, Record)
    assert str(caught.value).startswith(words)
    with pytest.raises(HashprobeError) as caught:
        as_record({"seed": 1, **change}, Record, "config.train")
    assert str(caught.value).startswith(f"config.train.{words}")


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "it must be an object; got null"), ([1], "got a list"), ({}, "seed is missing")],
)
def test_a_whole_of_another_type_is_named_with_its_file(tmp_path, value, words):
    write_json(tmp_path / "a.json", value)
    with pytest.raises(HashprobeError, match=words) as caught:
        read_record(tmp_path / "a.json", Record)
    assert str(tmp_path / "a.json") in str(caught.value)


def test_unknown_fields_are_refused_only_where_a_record_is_closed():
    assert as_record({"name": "a", "size": 1}, Options).name == "a"
    with pytest.raises(HashprobeError, match=r"config\.size is unknown"):
        as_record({"name": "a", "size": 1}, Options, "config", closed=True)


def test_a_mapping_names_the_first_key_that_is_wrong():
    sums: Any = {f"codes/{i}.npz": "ab" for i in range(50)} | {"codes/x.npz": 5}
    with pytest.raises(HashprobeError, match=r"codes/x\.npz must be text; got 5"):
        as_record(sums, dict[str, str])
