"""The hash layer alone gives what the whole network gives."""

import pytest
import torch

from hashprobe.victims.frozen import HeadHasher, image_features
from hashprobe.victims.image import ImageHasher


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize(("backbone", "size"), [("small", 16), ("alexnet", 64), ("resnet18", 32)])
def test_the_head_on_features_is_the_network_on_pixels(backbone, size, batch_norm):
    torch.manual_seed(0)
    hasher = ImageHasher(backbone, 12, size=size, batch_norm=batch_norm)
    images8 = torch.randint(0, 256, (9, 3, size, size), dtype=torch.uint8)
    told = []
    features = image_features(hasher, images8, lambda *done: told.append(done))
    assert told[-1] == (9, 9) and hasher.training
    hasher.eval()
    with torch.no_grad():
        expected = hasher(images8.float() / 255)
        torch.testing.assert_close(HeadHasher(hasher)(features), expected, rtol=1e-4, atol=1e-4)
    head = HeadHasher(hasher)
    assert {id(w) for w in head.parameters()} <= {id(w) for w in hasher.parameters()}
    assert len(list(head.parameters())) == (4 if batch_norm else 2)
