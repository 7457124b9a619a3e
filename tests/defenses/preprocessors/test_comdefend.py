"""The autoencoder in front of a victim."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from hashprobe.defenses import ComDefend, defended, fit_comdefend
from hashprobe.defenses.preprocessors import _comdefend
from hashprobe.errors import HashprobeError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One that has learnt plain colours, nearly without noise."""
    chance = torch.Generator().manual_seed(0)
    plain = torch.randint(0, 256, (32, 3, 1, 1), generator=chance, dtype=torch.uint8)
    file = tmp_path_factory.mktemp("net") / "net.safetensors"
    return fit_comdefend(
        plain.expand(-1, -1, 8, 8).contiguous(), file, epochs=60, lr=3e-3, narrow=8
    )


def test_it_learns_what_pictures_look_like(made, tmp_path):
    chance = torch.Generator().manual_seed(1)
    plain = torch.rand(20, 3, 1, 1, generator=chance).expand(-1, -1, 8, 8)
    raw = fit_comdefend((255 * plain).byte(), tmp_path / "x.safetensors", epochs=1, narrow=8)
    error, before = (((one.apply(plain) - plain) ** 2).mean() for one in (made, raw))
    assert error < 0.5 * before


def test_what_the_attacker_sees_is_what_the_operator_runs_but_for_rounding(made):
    pixels = torch.rand(2, 3, 12, 10).requires_grad_()
    seen = made.differentiable(pixels)
    assert (seen - made.apply(pixels)).abs().max() <= 0.5 / 255 + 1e-5
    (slope,) = torch.autograd.grad(seen.sum(), pixels)
    assert slope.abs().sum() > 0
    net = _comdefend.Compressor(8)
    assert [m.out_channels for m in net.encoder if hasattr(m, "out_channels")][-1] == 12
    assert sum(hasattr(m, "out_channels") for m in net.decoder) == 9


def test_it_stands_in_front_of_a_victim(made, small):
    victim = defended(small().eval(), made)
    assert victim.codes(torch.rand(2, 3, 8, 8)).bits == 8
    assert victim.remedy["name"] == "comdefend" and len(victim.remedy["weights"]) == 64


@pytest.mark.parametrize("narrow", range(1, 17))
def test_a_file_says_how_narrow_it_is(narrow, tmp_path):
    file = tmp_path / "net.safetensors"
    file.write_bytes(save(_comdefend.Compressor(narrow).state_dict()))
    assert _comdefend.comdefend_of(file) == ComDefend(file, narrow)


def test_a_file_of_something_else_is_refused(tmp_path):
    for weights in (torch.zeros(0, 3), torch.zeros(7, 3, 3, 3)):
        for name in ("encoder.8.weight", "x"):
            (tmp_path / "a.safetensors").write_bytes(save({name: weights}))
            with pytest.raises(HashprobeError):
                _comdefend.comdefend_of(tmp_path / "a.safetensors")


def test_what_does_not_fit_is_one_line(made, tmp_path, as_for_users):
    with pytest.raises(HashprobeError, match="fit_comdefend makes them"):
        ComDefend(Path("no/such/file"))
    with pytest.raises(HashprobeError, match="give some"):
        fit_comdefend(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), tmp_path / "a")
    with pytest.raises(HashprobeError):
        ComDefend(made.weights, narrow=4).apply(torch.rand(1, 3, 8, 8))
