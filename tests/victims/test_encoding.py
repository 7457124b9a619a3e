import pytest
import torch

from hashprobe.data.queries import Queries
from hashprobe.victims.clip import VideoHasher
from hashprobe.victims.encoding import device_of, encode, encode_both


def test_judged_in_float32_whatever_is_on_around(conv, random_images):
    kinds = []

    class Noting(conv):
        def forward(self, images):
            logits = super().forward(images)
            kinds.append((logits.dtype, torch.backends.cudnn.allow_tf32))
            return logits

    queries = Queries(random_images(5, dtype=torch.float32))
    before = torch.backends.cudnn.allow_tf32
    with torch.autocast("cpu", torch.bfloat16):
        codes = encode(Noting(dtype=torch.float32), queries)
    assert kinds == [(torch.float32, False)]
    assert torch.backends.cudnn.allow_tf32 == before
    assert codes == encode(conv(dtype=torch.float32), queries)


def test_a_victim_in_training_mode_is_encoded_in_evaluation_mode(conv, random_images):
    queries = Queries(random_images(5, dtype=torch.float32))
    victim = conv(dtype=torch.float32)
    calm = encode(victim, queries)
    assert encode(victim.train(), queries) == calm
    assert victim.training


class Counting(VideoHasher):
    """A network for clips that notes how many frames go through its backbone."""

    def features(self, frames):
        self.seen.append(len(frames))
        return super().features(frames)


@pytest.mark.parametrize("changed", [[], [2], range(6)])
def test_codes_of_both_are_those_of_each(changed, clip_hasher, clips8, lengths):
    """Frames that did not change are looked at once; the codes are the same."""
    victim, clips = clip_hasher(), clips8.float() / 255
    moved = clips.clone()
    for frame in changed:
        moved[:, frame] = 1 - moved[:, frame]
    victim.__class__, victim.seen = Counting, []
    queries = Queries(clips, lengths=lengths)
    clean, after = encode_both(victim, queries, moved)
    more = sum(min(length, 6) > frame for length in lengths.tolist() for frame in changed)
    assert sum(victim.seen) == lengths.sum() + more
    assert (clean.data == encode(victim, queries).data).all()
    assert (after.data == encode(victim, Queries(moved, lengths=lengths)).data).all()
    assert (clean.data != after.data).any() == bool(len(changed))


def test_both_codes_of_images(conv, random_images):
    victim, queries = conv(dtype=torch.float32), Queries(random_images(3, dtype=torch.float32))
    clean, after = encode_both(victim, queries, 1 - queries.pixels)
    assert clean == encode(victim, queries)
    assert after == encode(victim, Queries(1 - queries.pixels))


def test_a_victim_is_where_its_weights_are(conv):
    assert device_of(conv()) == torch.device("cpu")
    assert device_of(conv().to("meta")) == torch.device("meta")
