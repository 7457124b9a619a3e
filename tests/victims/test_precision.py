import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from hashprobe.attacks._bit_margin import BitMarginOptions, bit_margin
from hashprobe.attacks.goal import Goal
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget, Runtime
from hashprobe.victims.encoding import encode
from hashprobe.victims.image import ImageHasher
from hashprobe.victims.precision import Bfloat16Model, in_precision


def test_converted_copy_holds_bfloat16_and_keeps_the_pixels_in_float32(conv, random_images):
    victim = conv(dtype=torch.float32)
    before = {name: value.clone() for name, value in victim.state_dict().items()}
    copied = Bfloat16Model(victim)
    weights = list(copied.parameters())
    assert weights and all(w.dtype == torch.bfloat16 and not w.requires_grad for w in weights)
    assert copied.inner.features[1].running_mean.dtype == torch.bfloat16
    assert copied.inner.mean.dtype == torch.float32  # normalisation tells grey levels apart
    images = random_images(4, dtype=torch.float32)
    exact, fast = victim(images), copied(images)
    assert fast.dtype == torch.float32
    assert 0 < (fast - exact).abs().max() < 0.05 * exact.abs().max()
    assert all(torch.equal(before[name], value) for name, value in victim.state_dict().items())
    assert all(w.dtype == torch.float32 and w.requires_grad for w in victim.parameters())


@pytest.mark.parametrize("backbone", ["small", "efficientnet_lite0", "resnet18", "swin_t"])
def test_backbones_convert(backbone):
    victim = ImageHasher(backbone, 16, size=32).eval()
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    logits = in_precision(victim, "bfloat16")(images)
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    assert gradient.dtype == torch.float32 and gradient.abs().sum() > 0
    exact = victim(images)
    assert (logits - exact).abs().mean() < 0.1 * exact.abs().mean() + 0.01


def test_whole_numbers_among_the_weights_stay_as_they_are(conv):
    victim = conv(dtype=torch.float32)
    steps = torch.nn.Parameter(torch.arange(300), requires_grad=False)
    victim.hash.register_parameter("steps", steps)
    assert torch.equal(Bfloat16Model(victim).inner.hash.steps, torch.arange(300))


def test_a_copy_is_made_for_bfloat16_alone(conv):
    victim = conv(dtype=torch.float32)
    assert in_precision(victim, "float32") is victim
    copied = in_precision(victim, "bfloat16")
    assert copied is not victim and copied.bits == victim.bits
    assert copied.contract == victim.contract


def test_a_victim_that_cannot_be_copied_is_named(conv):
    victim = conv(dtype=torch.float32)
    victim.stream = (step for step in range(3))
    with pytest.raises(HashprobeError, match=r"bfloat16 needs a copy of the victim.*use precision"):
        in_precision(victim, "bfloat16")


def test_bad_settings(as_for_users):
    with pytest.raises(HashprobeError, match="precision must be float32 or bfloat16; got 'half'"):
        Runtime(precision="half")
    with pytest.raises(HashprobeError, match="batch size must be at least 1; got 0"):
        Runtime(batch_size=0)
    with pytest.raises(HashprobeError, match="workers must be at least 0"):
        Runtime(workers=-1)


def recurrent(base, kind):
    """A network with modules that are given sequences, states and arguments by name."""

    class Recurrent(base):
        def __init__(self):
            super().__init__()
            with torch.random.fork_rng():
                torch.manual_seed(0)
                self.lstm = torch.nn.LSTM(16, 16, batch_first=True)
                self.look = torch.nn.MultiheadAttention(16, 2, batch_first=True)

        def code(self, features, lengths):
            features = features.float()
            if kind == "packed":
                features = pack_padded_sequence(
                    features, lengths.cpu(), batch_first=True, enforce_sorted=False
                )
                return self.lstm(features)[1][0][-1]
            if kind == "state":
                nothing = features.new_zeros(1, len(features), 16)
                states, _ = self.lstm(features, (nothing, nothing))
            else:
                states, _ = self.look(query=features, key=features, value=features)
            return states[torch.arange(len(states)), lengths - 1]

    return Recurrent()


@pytest.mark.parametrize("kind", ["packed", "state", "named"])
@pytest.mark.parametrize("rule", [{}, {"frames": 2}])
def test_modules_of_all_kinds_of_arguments_go_in_bfloat16(
    kind, rule, own_clip_hasher, clips8, lengths, random_signs
):
    victim, targets = recurrent(own_clip_hasher, kind), random_signs(5, 16).numpy()
    queries = Queries(clips8.float() / 255, lengths=lengths)
    moved = bit_margin(
        victim,
        queries,
        Goal.targeted(targets),
        budget=Budget(64 / 255, **rule),
        options=BitMarginOptions(steps=12),
        runtime=Runtime(precision="bfloat16"),
    )
    after = encode(victim, Queries(moved, lengths=lengths)).signs()
    assert (after != targets).sum() < (encode(victim, queries).signs() != targets).sum()
