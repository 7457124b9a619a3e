import pytest
import torch

from hashprobe.errors import HashprobeError
from hashprobe.victims.ensemble import Ensemble
from hashprobe.victims.image import ImageHasher


def test_each_victim_has_its_bits_in_units_of_its_own_mean():
    one, other = ImageHasher("small", 8, size=8).eval(), ImageHasher("small", 5, size=8).eval()
    images = torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        found = Ensemble([one, other]).eval()(images)
        for part, victim in ((found[:, :8], one), (found[:, 8:], other)):
            z = victim(images)
            torch.testing.assert_close(part, z / z.abs().mean(1, keepdim=True))


def test_what_does_not_go_together_is_refused():
    with pytest.raises(HashprobeError, match="two or more victims; got 1"):
        Ensemble([ImageHasher("small", 8, size=8)])
    with pytest.raises(HashprobeError, match="8 pixels, 0 frames and 16 pixels, 0 frames"):
        Ensemble([ImageHasher("small", 8, size=side) for side in (8, 16)])
