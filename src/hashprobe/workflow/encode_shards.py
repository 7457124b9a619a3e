"""Parts of a split that workers decode and encode."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from hashprobe.crafting.elsewhere import portable, to_own_device
from hashprobe.data.sources import Split
from hashprobe.progress import Silent, Tick
from hashprobe.types import Runtime
from hashprobe.victims.base import Hasher, lay_channels_last
from hashprobe.workflow.encode_step import encode_parts
from hashprobe.workflow.shards import Part


ITEMS = 2048
"""Items of a shard; its codes do not depend on it."""


@dataclass(frozen=True, eq=False)
class Sent:
    """What every worker keeps of an encoding."""

    hasher: Hasher
    split: Split
    runtime: Runtime


def encode_elsewhere(
    hasher: Hasher, split: Split, start: int, runtime: Runtime, tick: Tick
) -> Iterator[Part]:
    """Has a split encoded by workers from a position on; parts come in its order."""
    alone = replace(runtime, executor=None, progress=Silent(), cache=None)
    ranges = [range(a, min(a + ITEMS, len(split))) for a in range(start, len(split), ITEMS)]
    ready: dict[int, list[Part]] = {}
    following = 0
    given = Sent(portable(hasher), split, alone)
    for number, parts in runtime.executor.run(settle, given, encode_range, ranges):
        ready[number] = parts
        while following in ready:
            for part in ready.pop(following):
                tick(part.stop, len(split))
                yield part
            following += 1


def settle(given: Sent) -> Sent:
    """The same with the network on the worker's own device."""
    to_own_device(given.hasher, given.runtime)
    lay_channels_last(given.hasher)
    return given


def encode_range(given: Sent, places: range) -> list[Part]:
    """The codes of some consecutive items."""
    some = given.split.take(np.arange(places.start, places.stop))
    found = encode_parts(given.hasher, some, 0, given.runtime, lambda done, most: None)
    return [
        replace(part, stop=part.stop + places.start, positions=part.positions + places.start)
        for part in found
    ]
