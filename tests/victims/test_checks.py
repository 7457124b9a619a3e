import re

import pytest
import torch

from hashprobe.errors import HashprobeError
from hashprobe.victims.checks import check_images, check_images8, check_targets


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.full((1, 3, 2, 2), 2.64), "images must lie in [0, 1]; got max 2.64: already norm"),
        (torch.full((1, 3, 2, 2), -2.12), "images must lie in [0, 1]; got min -2.12: already norm"),
        (torch.full((1, 3, 2, 2), 255.0), "got max 255: divide by 255?"),
        (torch.zeros(1, 3, 2, 2, dtype=torch.uint8), "got uint8: divide by 255"),
        (torch.zeros(1, 3, 2, 2, dtype=torch.bfloat16), "float32 or float64; got bfloat16"),
        (torch.zeros(3, 2, 2), "must have shape (N, 3, H, W); got (3, 2, 2)"),
        (torch.zeros(1, 1, 2, 2), "must have shape (N, 3, H, W); got (1, 1, 2, 2)"),
        (torch.zeros(0, 3, 2, 2), "there are no images to attack"),
        (torch.tensor([0.0, float("nan")]).view(2, 1, 1, 1).expand(2, 3, 2, 2), "NaN in row 1"),
        (torch.full((1, 3, 2, 2), float("inf")), "got max inf"),
    ],
)
def test_images_that_do_not_fit(images, message):
    with pytest.raises(HashprobeError, match=re.escape(message)) as caught:
        check_images(images)
    assert "\n" not in str(caught.value)


def test_queries_and_targets_that_do_not_fit():
    with pytest.raises(HashprobeError, match=r"queries must be uint8 pixels .*; got int64"):
        check_images8(torch.zeros(1, 3, 2, 2, dtype=torch.int64))
    with pytest.raises(HashprobeError, match="3 target codes for 2 images"):
        check_targets(torch.ones(3, 8), 2, 8)
    with pytest.raises(HashprobeError, match="must be floating; got int8"):
        check_targets(torch.ones(2, 8, dtype=torch.int8), 2, 8)
    with pytest.raises(HashprobeError, match="got nan"):
        check_targets(torch.full((2, 8), float("nan")), 2, 8)
    with pytest.raises(HashprobeError, match=r"must have shape \(N, K\); got \(8,\)"):
        check_targets(torch.ones(8), 1, 8)
    check_targets(torch.tensor([[-1.0, 0.0, 1.0] + [1.0] * 5]), 1, 8)
