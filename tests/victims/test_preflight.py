"""Networks that cannot be trusted are refused in one line; sound ones pass."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import hashprobe as hp
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.crafting.runner import craft
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget, InputContract, Runtime
from hashprobe.victims.base import Hasher
from hashprobe.victims.preflight import guarded, preflight


BITS = 16


def pictures(count=6, size=8, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8))


def linear(seed=0, bits=BITS):
    """Logits z = W x + b of a mean size near 1, of both signs."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layer = nn.Linear(3 * 8 * 8, bits)
        layer.weight.data.normal_().div_(4)
        layer.bias.data = -layer.weight.data.sum(1) / 2
    return nn.Sequential(nn.Flatten(), layer)


class Ends(nn.Module):
    """A sound network whose logits go through one more function."""

    def __init__(self, end):
        super().__init__()
        self.net, self.end = linear(), end

    def forward(self, images):
        return self.end(self.net(images))


class StraightThrough(torch.autograd.Function):
    """sign, with the gradient of the identity."""

    @staticmethod
    def forward(ctx, z):
        return torch.where(z >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def no_grad(z):
    with torch.no_grad():
        return z * 1


def batch_norm(z):
    return F.batch_norm(z, None, None, training=True)


def victim_of(end, **more):
    return hp.Victim(Ends(end), bits=BITS, size=8, **more)


def refused(call):
    """The one line of a refusal."""
    with pytest.raises(HashprobeError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


def probe(victim, gradients=True, **more):
    return preflight(victim, Queries(pictures()), gradients=gradients, **more)


FLAT = {
    "sign": (torch.sign, "signs without a gradient: hand over the logits"),
    "scaled sign": (lambda z: 7 * z.sign(), "signs without a gradient"),
    "where": (lambda z: torch.where(z > 0, 1.0, -1.0), "signs without a gradient"),
    "copysign": (lambda z: torch.ones_like(z).copysign(z.detach()), "signs without a gradient"),
    "saturated hardtanh": (lambda z: F.hardtanh(1e9 * z), "signs without a gradient"),
    "heaviside": (lambda z: torch.heaviside(z, torch.ones(())), "0 and 1"),
    "float of bool": (lambda z: (z > 0).float(), "0 and 1"),
    "round": (lambda z: (5 * z).round(), "whole numbers without a gradient"),
    "detach": (lambda z: z.detach(), "carry no gradient to the pixels"),
    "no_grad": (no_grad, "carry no gradient to the pixels"),
    "numpy": (lambda z: torch.from_numpy(z.detach().numpy() * 2), "carry no gradient"),
    "gradient of 0": (lambda z: z.detach() + 0 * z, "gradient of 0 at every picture"),
}


@pytest.mark.parametrize("name", FLAT)
def test_outputs_without_a_gradient_are_refused_for_gradient_attacks(name):
    end, wanted = FLAT[name]
    victim = victim_of(end)
    assert wanted in refused(lambda: probe(victim))
    goal = Goal.targeted(np.ones((6, BITS), np.int8))
    for attack in ("bit-margin", "dhta"):
        assert wanted in refused(lambda a=attack: hp.attack(victim, pictures(), goal, a))
    assert wanted in refused(lambda: hp.attack(victim, pictures(), attack="hag"))


def some_signs(count):
    return lambda z: torch.cat([z[:, :count].sign(), z[:, count:]], 1)


@pytest.mark.parametrize("count", [8, 15])
def test_signs_among_other_outputs_are_counted_and_refused(count):
    wanted = f"{count} of 16 outputs of the network are signs"
    assert wanted in refused(lambda: probe(victim_of(some_signs(count))))
    assert probe(victim_of(some_signs(count)), gradients=False).notes == ()


def test_few_signs_among_other_outputs_are_a_warning():
    (note,) = probe(victim_of(some_signs(2))).notes
    assert "2 of 16 outputs of the network are signs" in note


def test_dead_units_are_no_signs():
    dead = torch.arange(BITS) < 8
    victim = victim_of(lambda z: torch.where(dead, torch.linspace(-1, 1, BITS), z))
    assert probe(victim).notes == ()


@pytest.mark.parametrize("name", [n for n in FLAT if FLAT[n][1] != "0 and 1"])
def test_what_needs_no_gradient_takes_outputs_without_one(name):
    victim, plain = victim_of(FLAT[name][0]), victim_of(lambda z: z)
    probe(victim, gradients=False)
    if name not in ("round", "scaled sign"):
        assert victim.encode(pictures()).packed == plain.encode(pictures()).packed
    moved = hp.attack(victim, pictures(), attack="noise")
    assert (moved.images8[:] != pictures()).any()


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize(
    ("end", "wanted"),
    [
        (torch.sigmoid, "activation='sigmoid'"),
        (lambda z: torch.sigmoid(20 * z), "activation='sigmoid'"),
        (lambda z: z.softmax(1), "before the softmax"),
        (lambda z: F.relu(z) / 100, "before the last ReLU"),
        (F.hardsigmoid, "activation='sigmoid'"),
        (F.relu, "before the last ReLU"),
        (lambda z: (z > 0).float(), "0 and 1"),
        (lambda z: torch.full_like(z, -2.0) + 0 * z, ""),
    ],
)
def test_bits_that_never_turn_over_are_refused_by_every_door(end, wanted, gradients):
    victim = victim_of(end)
    assert wanted in refused(lambda: probe(victim, gradients))
    assert wanted in refused(lambda: victim.encode(pictures()))
    assert wanted in refused(lambda: hp.attack(victim, pictures(), attack="noise"))


def test_softplus_is_refused_where_a_gradient_says_that_no_bit_turns():
    assert "never negative" in refused(lambda: probe(victim_of(F.softplus)))
    assert "never negative" in refused(lambda: probe(victim_of(F.softplus), gradients=False))


def test_logits_that_never_change_sign_are_told_with_the_number_of_bits():
    shift = torch.where(torch.arange(BITS) % 2 == 0, 90.0, -90.0)
    victim = victim_of(lambda z: z.tanh() + shift)
    assert "all 16 bits are constant" in refused(lambda: probe(victim))
    # A network that was trained too little can be encoded; a line says what it is.
    (note,) = probe(victim, gradients=False).notes
    assert note.startswith("warning: ") and "all 16 bits are constant" in note


def test_pictures_of_one_code_are_no_reason_where_bits_can_turn():
    """Queries of one class have one code; a long step against it shows that it can change."""
    for bits in (1, 2, 16):
        net = linear(bits=bits)
        net[1].bias.data += 3.0
        victim = hp.Victim(net, bits=bits, size=8)
        for gradients in (True, False):
            assert not probe(victim, gradients).writes


def test_many_items_of_several_classes_with_one_code_are_refused():
    net = linear()
    net[1].bias.data += 9.0 * torch.where(torch.arange(BITS) % 3 == 0, 1.0, -1.0)
    victim = hp.Victim(net, bits=BITS, size=8)
    labels = np.arange(40) % 4
    assert "all 40 items have the same code: all 16 bits are constant" in refused(
        lambda: victim.encode(pictures(40), labels=labels)
    )
    assert len(victim.encode(pictures(40), labels=0 * labels)) == 40
    assert len(victim.encode(pictures(4))) == 4


SATURATED = {
    "tanh": lambda z: torch.tanh(40 * z),
    "hardtanh": lambda z: F.hardtanh(20 * z),
    "scaled tanh": lambda z: 30 * torch.tanh(40 * z),
    "sigmoid in [-1, 1]": lambda z: 2 * torch.sigmoid(80 * z) - 1,
    "softsign": lambda z: F.softsign(1e5 * z),
}


@pytest.mark.parametrize("name", SATURATED)
def test_saturated_outputs_are_refused_for_gradient_attacks_alone(name):
    victim = victim_of(SATURATED[name])
    text = refused(lambda: probe(victim))
    assert "outputs stand at the ends of their range" in text and "activation='tanh'" in text
    probe(victim, gradients=False)


SOUND = {
    "logits": lambda z: z,
    "tanh": torch.tanh,
    "tiny": lambda z: 1e-30 * z,
    "huge": lambda z: 1e30 * z,
    "a few constant bits": lambda z: torch.cat([z[:, :-3], z[:, -3:].exp()], 1),
    "a dead bit": lambda z: torch.cat([z[:, :-1], 0 * z[:, -1:]], 1),
    "unit length": lambda z: F.normalize(z),
    "layer norm": lambda z: F.layer_norm(z, z.shape[1:]),
    "dropout in evaluation mode": nn.Dropout(0.5),
    "batch norm in evaluation mode": nn.BatchNorm1d(BITS),
    "straight through": StraightThrough.apply,
    "softsign": F.softsign,
    "a tanh of which half is saturated": lambda z: torch.tanh(6 * z),
    "clusters": lambda z: z.tanh() * 3 + 0.2 * z,
}


@pytest.mark.parametrize("batch_size", [None, 1, 3])
@pytest.mark.parametrize("name", SOUND)
def test_sound_networks_pass(name, batch_size):
    victim = victim_of(SOUND[name])
    for gradients in (True, False):
        found = probe(victim, gradients, batch_size=batch_size)
        assert not found.writes
        assert len(found.notes) == (name == "straight through" and gradients)
    one = preflight(victim, Queries(pictures(1)), gradients=True)
    assert not one.writes


def test_signs_with_a_gradient_of_their_own_are_attacked_and_a_line_says_so():
    lines = []

    class Told:
        def log(self, text):
            lines.append(text)

        bar = staticmethod(Runtime().progress.bar)

    goal = Goal.targeted(-victim_of(StraightThrough.apply).encode(pictures()).packed.signs())
    moved = hp.attack(
        victim_of(StraightThrough.apply), pictures(), goal, "bit-margin", eps=0.2,
        runtime=Runtime(progress=Told()),
    )  # fmt: skip
    wrong = (moved.codes.signs() != goal.codes).mean()
    assert wrong < 0.5 and sum("straight through" in line for line in lines) == 1


@pytest.mark.parametrize("bits", [1, 3])
def test_networks_of_few_bits_pass(bits):
    for seed in range(8):
        victim = hp.Victim(linear(seed, bits), bits=bits, size=8)
        for count in (1, 5):
            for gradients in (True, False):
                some = Queries(pictures(count, seed=seed))
                assert preflight(victim, some, gradients=gradients).notes == ()


def test_one_picture_many_times_and_pictures_of_one_grey_pass():
    victim = victim_of(lambda z: z)
    alike = [pictures(1).repeat(5, 1, 1, 1)]
    alike += [torch.full((3, 3, 8, 8), level, dtype=torch.uint8) for level in (0, 128, 255)]
    for some in alike:
        found = preflight(victim, Queries(some), gradients=True)
        assert len(found.outputs) == 1, "a picture is probed once"


def test_a_picture_without_a_gradient_passes_if_others_carry_one():
    """ReLUs are dead at a black picture."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(288, 16))
    black = torch.cat([torch.zeros(1, 3, 8, 8, dtype=torch.uint8), pictures(2)])
    for some in (black, black[:1]):
        assert preflight(hp.Victim(net, bits=16, size=8), Queries(some), gradients=True).notes == ()


RANDOM = {
    "F.dropout": lambda z: F.dropout(z + 1.0, 0.5) - 1.0,
    "noise": lambda z: z + torch.randn_like(z),
    "a little noise": lambda z: z + 0.01 * torch.randn_like(z),
    "a random sign": lambda z: z * torch.randint(0, 2, (1,)).mul(2).sub(1),
}


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("name", RANDOM)
def test_networks_that_are_not_deterministic_are_refused_with_the_bits_counted(name, gradients):
    victim = victim_of(RANDOM[name])
    if name == "a random sign":
        # Five passes are alike now and then.
        torch.manual_seed(0)
    text = refused(lambda: probe(victim, gradients))
    assert "not deterministic" in text and "of 64 bits of 4 queries differ" in text


def test_a_network_that_counts_its_calls_is_refused():
    class Counts(nn.Module):
        calls = 0

        def forward(self, images):
            self.calls += 1
            return images.flatten(1)[:, :BITS] - 0.1 * self.calls

    victim = hp.Victim(Counts(), bits=BITS, size=8)
    assert "not deterministic" in refused(lambda: probe(victim))
    assert "not deterministic" in refused(lambda: victim.encode(pictures()))


BATCH = {
    "mean": lambda z: z - z.mean(0, keepdim=True),
    "F.batch_norm": batch_norm,
    "BatchNorm without statistics": nn.BatchNorm1d(BITS, track_running_stats=False),
    "softmax over the batch": lambda z: z.softmax(0) - 0.3,
    "first of the batch": lambda z: z + z[:1],
    "median": lambda z: z - z.median(),
}


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("name", BATCH)
def test_codes_that_depend_on_the_batch_are_refused(name, gradients):
    def end(z):
        if "ormal" in name or "atch_norm" in name or name == "BatchNorm without statistics":
            return BATCH[name](torch.cat([z, z + 1]))[: len(z)]
        return BATCH[name](z)

    text = refused(lambda: probe(victim_of(end), gradients))
    assert "depends on what else is in the batch" in text and "of 64 bits" in text


def test_batch_norm_that_a_network_keeps_in_training_mode_is_judged_in_evaluation_mode():
    class Stubborn(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.norm = linear(), nn.BatchNorm1d(BITS)

        def train(self, mode=True):
            super().train(mode)
            self.norm.training = True
            return self

        def forward(self, images):
            return self.norm(self.net(images))

    victim = hp.Victim(Stubborn().eval(), bits=BITS, size=8)
    probe(victim)
    assert victim.network.norm.training and not victim.network.norm.num_batches_tracked


class InPlace(Hasher):
    """Normalises and rectifies what it is given in place, and is no `Victim`."""

    def __init__(self):
        super().__init__(BITS, InputContract(size=8))
        self.net = linear()

    def forward(self, images):
        return self.net(F.relu_(images.sub_(0.2)))


class OutOfPlace(InPlace):
    def forward(self, images):
        return self.net(F.relu(images - 0.2))


def test_a_network_never_sees_the_tensors_of_an_attack():
    assert probe(InPlace()).writes and not probe(OutOfPlace()).writes
    goal = Goal.targeted(np.ones((6, BITS), np.int8))
    for attack, options in (("bit-margin", {"steps": 4}), ("dhta", {"steps": 4}), ("noise", {})):
        given = pictures()
        one, two = (
            hp.attack(victim, given, goal if options else None, attack, **options)
            for victim in (InPlace(), OutOfPlace())
        )
        assert torch.equal(given, pictures())
        assert torch.equal(one.images[:], two.images[:])
        assert (one.codes, one.clean_codes) == (two.codes, two.clean_codes)
    images = pictures().float() / 255
    before = images.clone()
    assert InPlace().encode(images).packed == OutOfPlace().encode(before).packed
    assert torch.equal(images, before)


def test_a_victim_gives_its_network_a_tensor_of_its_own():
    def write(images):
        logits = images.flatten(1)[:, :BITS] - 0.5
        images.zero_()
        return logits.clone()

    with torch.no_grad():
        images = torch.rand(2, 3, 8, 8)
        before = images.clone()
        hp.Victim(write, bits=BITS, size=8)(images)
    assert torch.equal(images, before)
    lengths = torch.tensor([2, 1])

    def shorten(clips, lengths):
        lengths.sub_(1)
        return clips.flatten(1)[:, :BITS] - 0.5

    hp.Victim(shorten, bits=BITS, size=8, frames=2)(torch.rand(2, 2, 3, 8, 8), lengths)
    assert lengths.tolist() == [2, 1]


def test_outputs_that_are_written_into_again_are_copied_or_refused():
    class Buffered(Hasher):
        def __init__(self):
            super().__init__(BITS, InputContract(size=8))
            self.net, self.kept = linear(), {}

        def forward(self, images):
            logits = self.net(images)
            kept = self.kept.setdefault(len(images), torch.zeros_like(logits))
            self.kept[len(images)] = kept.detach().copy_(logits)
            return self.kept[len(images)]

    victim = Buffered()
    assert "new in every pass" in refused(lambda: probe(victim))
    found = probe(victim, gradients=False)
    assert found.writes
    with guarded(victim, found), torch.no_grad():
        first = victim(torch.zeros(1, 3, 8, 8))
        kept = first.clone()
        victim(torch.ones(1, 3, 8, 8))
    assert torch.equal(first, kept)


SHAPES = {
    "tuple": (lambda z: (z, None), "a tuple of 2, .* output=0"),
    "tuple, second": (lambda z: (None, z), "output=1"),
    "list": (lambda z: [z], "a list of 1, .* output=0"),
    "mapping": (lambda z: {"loss": 1.0, "logits": z}, "dict with 'loss', 'logits', .*'logits'"),
    "none": (lambda z: None, "a NoneType, not a tensor"),
    "array": (lambda z: z.detach().numpy(), "a ndarray, not a tensor"),
    "sparse": (lambda z: z.to_sparse(), r"sparse_coo tensor.*\.to_dense\(\)"),
    "csr": (lambda z: z.detach().to_sparse_csr(), r"sparse_csr tensor.*\.to_dense\(\)"),
    "quantised": (lambda z: torch.quantize_per_tensor(z.detach(), 0.1, 0, torch.qint8), "dequant"),
    "(N, K, 1, 1)": (lambda z: z[..., None, None], r"16, 1, 1\).*torch\.nn\.Flatten\(\)"),
    "(K,)": (lambda z: z.sum(0), "one row a picture"),
    "transposed": (lambda z: z.T, "one row a picture"),
    "other bits": (lambda z: z[:, :5], "say bits=5"),
    "integers": (lambda z: z.int(), "gave int32, not real logits"),
    "bool": (lambda z: z > 0, "gave bool, not real logits"),
    "complex": (lambda z: torch.complex(z, z), "gave complex64, not real logits"),
}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", SHAPES)
def test_outputs_that_are_no_matrix_of_real_numbers_are_one_line(name, as_for_users):
    end, wanted = SHAPES[name]

    class Bare(Hasher):
        def __init__(self):
            super().__init__(BITS, InputContract(size=8))
            self.net = Ends(end)

        def forward(self, images):
            return self.net(images)

    for victim in (victim_of(end), Bare()):
        for call in (lambda v=victim: v.encode(pictures()), lambda v=victim: probe(v)):
            with pytest.raises(HashprobeError, match=wanted) as caught:
                call()
            assert "\n" not in str(caught.value)


def test_values_that_are_not_finite_are_counted():
    def some(z):
        return torch.where(torch.arange(len(z)).unsqueeze(1) % 2 == 0, z, torch.nan)

    assert "NaN for 2 of 4 queries" in refused(lambda: probe(victim_of(some)))
    endless = victim_of(lambda z: z * float("inf"))
    assert "infinite values for 4 of 4 queries" in refused(lambda: probe(endless))
    root = victim_of(lambda z: (z - z.detach()).abs().sqrt() + z)
    assert "gradient of the network's outputs is infinite or NaN" in refused(lambda: probe(root))


def test_a_constant_picture_that_a_network_cannot_standardise_is_nobodys_query():
    """The negative of a picture of one grey is another one, and both give NaN."""

    class Standardised(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = linear()

        def forward(self, images):
            rest = images - images.mean((1, 2, 3), keepdim=True)
            return self.net(rest / rest.std((1, 2, 3), keepdim=True))

    assert probe(hp.Victim(Standardised(), bits=BITS, size=8)).notes == ()


def test_a_network_that_fails_is_one_line_with_the_shape():
    fixed = hp.Victim(lambda images: images.view(3, 192)[:, :BITS], bits=BITS, size=8)
    text = refused(lambda: probe(fixed))
    assert "failed on pixels of shape (7, 3, 8, 8)" in text and "any number" in text
    assert "failed on pixels" in refused(
        lambda: hp.Victim(linear(), bits=BITS, size=9).encode(pictures(size=9))
    )


# Several outputs, and activations that are undone


def test_one_of_several_outputs_is_picked():
    plain = victim_of(lambda z: z).encode(pictures()).packed
    for end, output in (
        (lambda z: (None, z), 1),
        (lambda z: [z, z], -1),
        (lambda z: {"codes": z}, "codes"),
    ):
        victim = victim_of(end, output=output)
        assert victim.encode(pictures()).packed == plain
        goal = Goal.targeted(np.ones((6, BITS), np.int8))
        assert hp.attack(victim, pictures(), goal, eps=0.1, steps=3).clean_codes == plain
    none = victim_of(lambda z: (z, z), output=2)
    assert "without output=2: it has 0, 1" in refused(lambda: none.encode(pictures()))
    none = victim_of(lambda z: {"a": z}, output="b")
    assert "without output='b': it has 'a'" in refused(lambda: none.encode(pictures()))
    single = victim_of(lambda z: z, output=0)
    assert "leave output out" in refused(lambda: single.encode(pictures()))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_an_activation_is_undone_for_code_and_gradient(activation):
    plain = victim_of(lambda z: z)
    done = victim_of(getattr(torch, activation), activation=activation)
    images = (pictures().float() / 255).requires_grad_()
    logits, there = done(images), plain(images)
    torch.testing.assert_close(logits, there, rtol=1e-3, atol=1e-4)
    one, two = (torch.autograd.grad(z.sum(), images)[0] for z in (logits, there))
    torch.testing.assert_close(one, two, rtol=1e-2, atol=1e-3)
    assert done.encode(pictures()).packed == plain.encode(pictures()).packed
    goal = Goal.targeted(-plain.encode(pictures()).packed.signs())
    wrong = [
        (hp.attack(v, pictures(), goal, eps=0.2, steps=20).codes.signs() != goal.codes).sum()
        for v in (done, plain)
    ]
    assert abs(int(wrong[0]) - int(wrong[1])) <= 2


def test_activations_that_do_not_fit_are_refused(as_for_users):
    assert "activation must be one of none, sigmoid, tanh" in refused(
        lambda: victim_of(lambda z: z, activation="relu")
    )
    assert "outputs outside [0, 1]" in refused(
        lambda: victim_of(lambda z: z, activation="sigmoid").encode(pictures())
    )
    hard = victim_of(lambda z: F.hardtanh(20 * z), activation="tanh")
    assert "ends of their range" in refused(lambda: probe(hard))


def test_outputs_too_large_for_the_tanh_of_an_attack_are_no_robustness():
    goal = Goal.targeted(-victim_of(lambda z: z).encode(pictures()).packed.signs())
    huge = victim_of(lambda z: 1e30 * z)
    assert "mean size of" in refused(lambda: hp.attack(huge, pictures(), goal, "dhta", eps=0.2))
    assert "mean size of" in refused(lambda: hp.attack(huge, pictures(), attack="hag", eps=0.2))
    for scale in (1e30, 1e-30):
        victim = victim_of(lambda z, scale=scale: scale * z)
        moved = hp.attack(victim, pictures(), goal, eps=0.2, steps=20)
        assert (moved.codes.signs() != goal.codes).mean() < 0.5
    tiny = victim_of(lambda z: 1e-30 * z)
    moved = hp.attack(tiny, pictures(), goal, "dhta", eps=0.2, steps=200, step_size=1.0)
    assert (moved.codes.signs() != goal.codes).mean() < 0.5


# Quantised networks and programs


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_a_dynamically_quantised_network_is_encoded_and_gradient_attacks_are_refused(tmp_path):
    net = torch.ao.quantization.quantize_dynamic(linear(), {nn.Linear}, dtype=torch.qint8)
    victim = hp.Victim(net, bits=BITS, size=8)
    assert len(victim.encode(pictures())) == 6
    goal = Goal.targeted(np.ones((6, BITS), np.int8))
    assert "quantised weights" in refused(lambda: hp.attack(victim, pictures(), goal))
    one = hp.attack(victim, pictures(), attack="noise", out=tmp_path / "noise")
    again = hp.attack(victim, pictures(), attack="noise", out=tmp_path / "noise")
    assert one.codes == again.codes


class Clips(nn.Module):
    def __init__(self, end=lambda z: z):
        super().__init__()
        self.net, self.end = linear(), end

    def forward(self, clips, lengths):
        own = torch.arange(clips.shape[1]) < lengths.unsqueeze(1)
        seen = self.net(clips.flatten(0, 1)).view(*clips.shape[:2], BITS)
        return self.end((seen * own.unsqueeze(2)).sum(1))


@pytest.mark.parametrize(
    ("end", "wanted"),
    [
        (torch.sign, "signs without a gradient"),
        (torch.sigmoid, "activation='sigmoid'"),
        (RANDOM["F.dropout"], "not deterministic"),
        (BATCH["mean"], "what else is in the batch"),
        (lambda z: z, None),
    ],
)
def test_victims_of_clips_are_probed_too(end, wanted):
    rng = np.random.default_rng(0)
    clips = torch.from_numpy(rng.integers(0, 256, (3, 4, 3, 8, 8), dtype=np.uint8))
    queries = Queries(clips, lengths=torch.tensor([4, 1, 3]))
    victim = hp.Victim(Clips(end), bits=BITS, size=8, frames=4)
    spec = AttackSpec("bit-margin", budget=Budget(8 / 255))
    goal = Goal.targeted(np.ones((3, BITS), np.int8))
    if wanted is None:
        assert len(craft(victim, queries, goal, spec)) == 3
    else:
        assert wanted in refused(lambda: craft(victim, queries, goal, spec))


def test_a_victim_is_left_as_it_was(conv):
    victim = conv(dtype=torch.float32).train()
    before = {name: value.clone() for name, value in victim.state_dict().items()}
    hooks = len(victim._forward_hooks), len(victim._forward_pre_hooks)
    probe(victim)
    assert victim.training and all(weight.requires_grad for weight in victim.parameters())
    assert all(torch.equal(value, before[name]) for name, value in victim.state_dict().items())
    assert (len(victim._forward_hooks), len(victim._forward_pre_hooks)) == hooks
    assert all(weight.grad is None for weight in victim.parameters())


def test_the_probe_of_a_sound_network_is_two_passes_of_few_pictures():
    victim, seen = victim_of(lambda z: z), []
    victim.network.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    preflight(victim, Queries(pictures(200)), gradients=True)
    assert seen == [7, 1, 1, 1, 1]


def test_a_map_of_features_is_told_how_to_become_a_row():
    net = torch.nn.Conv2d(3, BITS, 3, stride=2)
    said = refused(lambda: hp.Victim(net, bits=BITS, size=8).encode(pictures()))
    assert "pool it to one row a picture, or name another tensor by --output" in said


def test_weights_in_half_precision_are_told_so():
    for kind in (torch.float16, torch.bfloat16):
        victim = hp.Victim(linear().to(kind), bits=BITS, size=8)
        assert "call .float() first" in refused(lambda v=victim: v.encode(pictures()))


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((3, 16, 16), "say --size 16 (size=16)"),
        ((3, 8, 16), "a width of 16 pixels, and pictures are square"),
        ((1, 8, 8), "pictures of 1 channels, and pictures are RGB"),
    ],
)
def test_a_program_for_other_pictures_says_for_which(shape, remedy):
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(math.prod(shape), BITS))
    dynamic = ({0: torch.export.Dim("n")},)
    program = torch.export.export(net, (torch.rand(2, *shape),), dynamic_shapes=dynamic)
    assert remedy in refused(lambda: hp.Victim(program, bits=BITS, size=8).encode(pictures()))


def test_a_program_for_one_batch_size_is_told_how_to_export_it():
    program = torch.export.export(linear(), (torch.rand(2, 3, 8, 8),))
    victim = hp.Victim(program, bits=BITS, size=8)
    assert "dynamic_shapes" in refused(lambda: victim.encode(pictures()))
