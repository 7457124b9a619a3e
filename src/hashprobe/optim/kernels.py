"""Moves of float32 pixels on a CPU in one pass over the memory, equal to torch's in every bit.

A light victim, such as a perceptual hash, costs as much as a dozen passes over its pixels, and a
step that is made of torch's own operations is a dozen passes. These kernels read and write each
value once.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hashprobe.storage.compiled import compiled


Rows = NDArray[np.float32]
"""(N, V) all values of each query."""
Each = NDArray[np.float32]
"""(N,) one number a query."""


class Room(NamedTuple):
    """What a pool holds of its queries, row by row; (0, 0) what it does not hold. See `Pool`."""

    pixels: Rows
    low: Rows
    high: Rows
    shown: Rows
    whole_low: Rows
    whole_high: Rows
    momentum: Rows

    @classmethod
    def of(cls, room: dict[str, Tensor], count: int) -> "Room | None":
        """The first rows of a pool's room; None where they are not float32 on a CPU."""
        found = {name: flat(room[name][:count]) for name in cls._fields if name in room}
        held = {name: rows for name, rows in found.items() if rows is not None}
        if "pixels" not in held:
            return None
        # Where the bounds are whole grey levels, they bound what is shown, too.
        held = {"whole_low": held["low"], "whole_high": held["high"]} | held
        return cls(**{name: held.get(name, np.empty((0, 0), np.float32)) for name in cls._fields})


@compiled
def put(room: Any, row: Any, value: Any, move: Any, scale: Any) -> None:
    """Moves one value, clips it to its box and shows it in whole grey levels."""
    # One rounding for product and sum, as torch's add with alpha has it.
    moved = np.float32(np.float64(room.pixels[row, value]) + np.float64(scale) * np.float64(move))
    moved = min(max(moved, room.low[row, value]), room.high[row, value])
    room.pixels[row, value] = moved
    if room.shown.shape[0]:
        whole = min(max(np.rint(moved), room.whole_low[row, value]), room.whole_high[row, value])
        room.shown[row, value] = whole / scale


@compiled
def sign_move(room: Any, gradient: Any, mean: Any, decay: Any, length: Any, scale: Any) -> None:
    """The move of `SignStep`, after m <- decay m + g / mean where the pool holds a momentum."""
    for row in range(gradient.shape[0]):
        for value in range(gradient.shape[1]):
            direction = gradient[row, value]
            if room.momentum.shape[0]:
                direction = room.momentum[row, value] * decay + direction / mean[row]
                room.momentum[row, value] = direction
            move = np.float32(0)
            if direction > 0:
                move = -length[row]
            elif direction < 0:
                move = length[row]
            put(room, row, value, move, scale)


@compiled
def unit_l2_move(room: Any, gradient: Any, peak: Any, norm: Any, times: Any, scale: Any) -> None:
    """The move of `UnitL2Step`: times (g / peak) / norm."""
    for row in range(gradient.shape[0]):
        for value in range(gradient.shape[1]):
            move = gradient[row, value] / peak[row] * times / norm[row]
            put(room, row, value, move, scale)


def in_threads(kernel: Callable[..., None], room: Room, *given: Any) -> None:
    """Runs a kernel on as many threads as torch uses, each with some of the rows."""
    count = len(room.pixels)
    threads = min(torch.get_num_threads(), count)
    if threads == 1:
        kernel(room, *given)
        return
    bounds = np.linspace(0, count, threads + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        parts = [
            pool.submit(kernel, *(taken(value, slice(*part)) for value in (room, *given)))
            for part in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
        ]
    for part in parts:
        part.result()


def taken(value: Any, rows: slice) -> Any:
    """Some rows of arrays; numbers as they are."""
    if isinstance(value, Room):
        return Room(*(taken(each, rows) for each in value))
    return value[rows] if isinstance(value, np.ndarray) else value


def flat(values: Tensor) -> Rows | None:
    """(N, V) view of float32 values on a CPU, in the order of their memory; None of others."""
    if values.dtype != torch.float32 or values.device.type != "cpu":
        return None
    if not values.is_contiguous():
        if values.ndim != 4 or not values.is_contiguous(memory_format=torch.channels_last):
            return None
        values = values.permute(0, 2, 3, 1)
    return values.detach().flatten(1).numpy()
