import gc

import torch

import hashprobe.victims.memory as memory
from hashprobe.victims.memory import fitting, measured_bytes, room, saved_bytes


def test_what_a_query_keeps_grows_with_queries(conv, random_images):
    victim, images = conv(dtype=torch.float32), random_images(2, dtype=torch.float32)
    small, large = saved_bytes(victim, images[:1]), saved_bytes(victim, images)
    assert 0 < small < large <= 2 * small + 4096


def test_rows_that_fit_follow_from_what_one_needs():
    cpu = torch.device("cpu")
    assert fitting(1, cpu) == 128 and fitting(1 << 40, cpu) == 4
    assert fitting(16 << 20, cpu) == 16


def test_little_free_memory_lowers_what_fits_and_what_is_kept(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 64 << 20)
    cpu = torch.device("cpu")
    assert room(cpu) == 16 << 20
    assert fitting(1 << 20, cpu) == 16 and fitting(16 << 20, cpu) == 4


def test_measuring_what_a_query_needs_leaves_nothing_behind(conv, random_images):
    """The hooks see every tensor that is saved: holding one would hold its graph, and for ever."""
    victim, images = conv(dtype=torch.float32), random_images(1, dtype=torch.float32)
    kept = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(2):
            saved_bytes(victim, images)
            kept.append(sum(type(each) is torch.Tensor for each in gc.get_objects()))
    finally:
        gc.enable()
    assert kept[0] == kept[1]


def test_a_network_is_measured_once_for_each_shape(conv, random_images, monkeypatch):
    measured = []
    real = memory.saved_bytes

    def noting(network, image):
        measured.append(tuple(image.shape))
        return real(network, image)

    monkeypatch.setattr(memory, "saved_bytes", noting)
    victim = conv()
    for size in (8, 8, 16, 8):
        assert measured_bytes(victim, random_images(1, size, size)) > 0
    assert measured == [(1, 3, 8, 8), (1, 3, 16, 16)]
    measured_bytes(conv(), random_images(1))
    assert len(measured) == 3


def test_a_small_network_takes_as_many_rows_as_its_caches_hold():
    cpu, weights = torch.device("cpu"), 4 << 20
    room = memory.CACHE_BYTES - weights
    for each in (room // 40, room // 8):
        rows = fitting(each, cpu, weights)
        assert rows * each <= room < (rows + 1) * each
    # Fewer than eight, or none, are not worth it; tiny ones stay at the most of a CPU.
    for each in (room // 7, 2 * room):
        assert fitting(each, cpu, weights) == fitting(each, cpu)
    assert fitting(1, cpu, weights) == memory.CPU_ROWS[1]
