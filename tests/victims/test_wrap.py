"""Networks of one's own: programs of torch.export take every path that other modules take."""

import numpy as np
import pytest
import torch
from torch import nn

import hashprobe as hp
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import ATTACKS
from hashprobe.errors import HashprobeError
from hashprobe.types import Runtime
from hashprobe.victims.base import frozen_eval


BITS = 12


def network():
    """Layers whose mode matters, in training mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
            nn.Linear(288, BITS),
        )  # fmt: skip
        net(torch.rand(64, 3, 8, 8))
    return net


@pytest.fixture(scope="module")
def net():
    return network().eval()


@pytest.fixture(scope="module")
def program(net):
    dynamic = ({0: torch.export.Dim("n", min=1, max=512)},)
    return torch.export.export(net, (torch.zeros(2, 3, 8, 8),), dynamic_shapes=dynamic)


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (5, 3, 8, 8), dtype=np.uint8))


@pytest.fixture(scope="module")
def goal():
    return Goal.targeted(np.random.default_rng(1).choice(np.array([-1, 1], np.int8), (5, BITS)))


def forms(program, tmp_path):
    torch.export.save(program, tmp_path / "net.pt2")
    given = {"bits": BITS, "size": 8}
    return {
        "program": hp.Victim(program, **given),
        "its module": hp.Victim(program.module(), **given),
        "a file": hp.load_victim(tmp_path / "net.pt2", **given),
        "inside another module": hp.Victim(nn.Sequential(program.module()), **given),
        "no victim around it": program.module(),
        "no module around it": program,
    }


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_programs_are_encoded_and_attacked_in_every_form(net, program, pictures, goal, tmp_path):
    plain = hp.Victim(net, bits=BITS, size=8)
    more_data = {"target images", "database", "generator"}
    names = [name for name in ATTACKS if not more_data & ATTACKS[name].needs]
    wanted = {}
    for name in names:
        more = {n: 3 for n in ("steps", "query_budget") if n in vars(ATTACKS[name].options())}
        wanted[name] = more, hp.attack(plain, pictures, goal, name, eps=0.2, **more).codes
    for form, victim in forms(program, tmp_path).items():
        if isinstance(victim, hp.Victim):
            assert victim.encode(pictures).packed == plain.encode(pictures).packed, form
            assert not victim.eval().training and victim.train().training
        for name, (more, codes) in wanted.items():
            assert hp.attack(victim, pictures, goal, name, eps=0.2, **more).codes == codes, form


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_programs_resume_and_compute_in_bfloat16(program, pictures, goal, tmp_path):
    victim = hp.Victim(program, bits=BITS, size=8)
    given = {"eps": 0.2, "steps": 3, "out": tmp_path / "out"}
    one = hp.attack(victim, pictures, goal, **given)
    (tmp_path / "out" / "queries" / "3.npz").unlink()
    assert hp.attack(victim, pictures, goal, **given).codes == one.codes
    half = hp.attack(
        victim, pictures, goal, eps=0.2, steps=9, runtime=Runtime(precision="bfloat16")
    )
    right = (half.codes.signs() == goal.codes).sum()
    assert right > (half.clean_codes.signs() == goal.codes).sum()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_mode_of_a_program_comes_back(program):
    module = program.module()
    modes = [each.training for each in module.modules()]
    with frozen_eval(module):
        assert not any(each.training for each in module.modules())
    assert [each.training for each in module.modules()] == modes


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_program_in_training_mode_or_of_one_batch_size_is_refused(net, pictures):
    random = torch.export.export(
        network().train(), (torch.zeros(2, 3, 8, 8),),
        dynamic_shapes=({0: torch.export.Dim("n", min=1, max=512)},),
    )  # fmt: skip
    with pytest.raises(HashprobeError, match=r"not deterministic|what else is in the batch"):
        hp.Victim(random, bits=BITS, size=8).encode(pictures)
    fixed = torch.export.export(net, (torch.zeros(2, 3, 8, 8),))
    with pytest.raises(HashprobeError, match=r"failed on pixels .* any number of pictures"):
        hp.Victim(fixed, bits=BITS, size=8).encode(pictures)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_torchscript_is_encoded_and_attacked(net, pictures, goal, tmp_path):
    torch.jit.script(net).save(tmp_path / "net.ts")
    victim = hp.load_victim(tmp_path / "net.ts", bits=BITS, size=8)
    plain = hp.Victim(net, bits=BITS, size=8)
    assert victim.encode(pictures).packed == plain.encode(pictures).packed
    one, two = (hp.attack(v, pictures, goal, eps=0.2, steps=3) for v in (victim, plain))
    assert one.codes == two.codes
    with pytest.raises(HashprobeError, match="TorchScript cannot be computed in bfloat16"):
        hp.attack(victim, pictures, goal, runtime=Runtime(precision="bfloat16"))


def test_a_network_that_reads_weights_of_modules_it_does_not_call_is_one_line(pictures, goal):
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(192, BITS)

        def forward(self, images):
            return nn.functional.linear(images.flatten(1) - 0.5, self.layer.weight)

    victim = hp.Victim(Reads(), bits=BITS, size=8)
    with pytest.raises(HashprobeError, match=r"cannot be computed in bfloat16.*precision float32"):
        hp.attack(victim, pictures, goal, runtime=Runtime(precision="bfloat16"))
    assert len(hp.attack(victim, pictures, goal, steps=3)) == 5


def test_a_network_has_a_size(net):
    with pytest.raises(HashprobeError, match="size must be at least 1; got 0"):
        hp.Victim(net, bits=BITS, size=0)
