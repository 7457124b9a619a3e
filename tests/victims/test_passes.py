import torch

from hashprobe.victims.passes import PassCounter, attend, note
from hashprobe.victims.precision import Bfloat16Model


def test_passes_that_nobody_attends_are_shared_out(conv, random_images):
    victim, counter = conv(dtype=torch.float32), PassCounter(4)
    images = random_images(4, dtype=torch.float32)
    with counter.counting(victim):
        victim(images)
        victim(images[:2])
        victim(images[:2])
        victim(images.requires_grad_()).sum().backward()
        with attend([3]):
            victim(images[:1])
        with attend([]):
            victim(images)
    assert counter.forwards.tolist() == [3, 3, 3, 4]
    assert counter.backwards.tolist() == [1, 1, 1, 1]
    assert not victim._forward_hooks


def test_a_pass_is_counted_where_it_happens_and_its_gradient_once_it_comes(conv, random_images):
    victim, counter = conv(), PassCounter(3)
    images = random_images(2).requires_grad_()
    with counter.counting(victim), attend([2, 0]):
        logits = victim(images)
    assert counter.forwards.tolist() == [1, 0, 1] and counter.backwards.sum() == 0
    logits.sum().backward()
    assert counter.backwards.tolist() == [1, 0, 1]
    victim(images)  # outside the block nothing counts
    note(logits)
    assert counter.forwards.tolist() == [1, 0, 1]


def test_passes_through_a_copy_in_another_precision_count_and_halves_are_noted(conv, random_images):
    victim, counter = conv(dtype=torch.float32), PassCounter(2)
    images = random_images(2, dtype=torch.float32)
    with counter.counting(victim):
        copied = Bfloat16Model(victim)
        copied(images)
        note(torch.zeros(2, 16))
    assert counter.forwards.tolist() == [2, 2]


def test_counters_do_not_mix(conv, random_images):
    victim, images = conv(), random_images(1)
    outer, inner = PassCounter(1), PassCounter(1)
    with outer.counting(victim):
        with inner.counting(conv(seed=1)):
            note(torch.zeros(1, 16))
        note(torch.zeros(1, 16))
        victim(images)
    assert (outer.forwards.tolist(), inner.forwards.tolist()) == ([2], [1])
