import torch

from hashprobe.attacks._dhta import DhtaOptions, dhta
from hashprobe.attacks._p2p import P2pOptions, p2p
from hashprobe.attacks.goal import Goal
from hashprobe.data.queries import Queries
from hashprobe.types import Budget


def test_p2p_is_dhta_step_for_step(conv, random_images, random_signs):
    given = conv(), Queries(random_images(2)), Goal.targeted(random_signs(2, 16))
    settings = {"steps": 9, "step_size": 0.1, "alpha": 0.4}
    point = p2p(*given, budget=Budget(0.1), options=P2pOptions(**settings))
    assert torch.equal(point, dhta(*given, budget=Budget(0.1), options=DhtaOptions(**settings)))


def test_one_code_is_the_target():
    assert (P2pOptions().n_t, P2pOptions().tie) == (1, "plus")
    assert P2pOptions() == P2pOptions(DhtaOptions().steps, DhtaOptions().step_size, None)
