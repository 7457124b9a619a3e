"""The suite of attacks: who meets which attack, the worst case, and what the flags notice."""

import json

import numpy as np
import pytest
import torch

import hashprobe as hp
from hashprobe.workflow import suite, suite_flags
from hashprobe.workflow.suite import MEMBERS, fallen


BITS, SIDE, CLASSES = 12, 8, 3


class Net(torch.nn.Module):
    """Random features of 8 x 8 pixels around grey."""

    def __init__(self, scale=1.0):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = torch.nn.Parameter(
            scale * torch.randn(BITS, 3 * SIDE * SIDE, generator=generator)
        )

    def forward(self, images):
        return (images.flatten(1) - 0.5) @ self.weight.T


class Masked(Net):
    """The same codes, with gradients whose signs are drawn by chance once and for all."""

    def forward(self, images):
        signs = torch.where(torch.rand(images.shape[1:], generator=chance()) < 0.5, -1.0, 1.0)
        seen = images.detach() + signs * (images - images.detach())
        return super().forward(seen)


def chance():
    return torch.Generator().manual_seed(9)


@pytest.fixture(scope="module")
def given():
    """Pictures of three classes, which differ by their mean, and a database of them."""
    rng = np.random.default_rng(5)
    means = rng.integers(60, 196, (CLASSES, 3, SIDE, SIDE))
    labels = np.arange(66) % CLASSES
    noise = rng.integers(-30, 31, (66, 3, SIDE, SIDE))
    pictures = np.clip(means[labels] + noise, 0, 255).astype(np.uint8)
    return pictures, labels


@pytest.fixture(scope="module")
def results(given):
    """The suite on the plain and on the masked network, with fewer questions to the service."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite_flags, "SHOWN", 40)
        patch.setattr(suite, "MEMBERS", (*MEMBERS[:-1], ("square", {"query_budget": 40})))
        return {net: attacked(net(), given) for net in (Net, Masked)}


def attacked(net, given, *, eps=16 / 255, **more):
    pictures, labels = given
    victim = hp.Victim(net, bits=BITS, size=SIDE)
    database = victim.encode(pictures[6:], labels=labels[6:])
    return hp.attack_suite(victim, pictures[:6], database, labels=labels[:6], eps=eps, **more)


def test_each_query_meets_the_next_attack_while_it_stands(results):
    done = results[Net]
    asked = [member.asked for member in done.members]
    felled = [member.felled for member in done.members]
    assert asked[0] == 6 and asked[1:] == [a - f for a, f in zip(asked, felled, strict=True)][:-1]
    names = [member.attack for member in done.members]
    # This network has no layer that gives features.
    assert names == [name for name, _ in MEMBERS if name != "feature"][: len(names)]
    for name in names:
        assert done.felled_by.count(name) == dict(zip(names, felled, strict=True))[name]
    assert done.standing == 6 - sum(felled) and done.fallen(0.1) >= sum(felled) / 6
    assert (done.worst.per_query <= done.clean.per_query + 1e-12).all()
    assert done.worst.signature.startswith("worst MAP@all")


def test_a_plain_network_falls_without_a_flag(results):
    done = results[Net]
    assert done.worst.value < done.clean.value - 0.3
    assert [flag.name for flag in done.raised] == []
    assert "No flag is raised" in str(done)


def test_masked_gradients_are_flagged(results):
    done = results[Masked]
    assert "target unreachable at 64/255" in {flag.name for flag in done.raised}
    assert "Not to be called robust:" in str(done)


def test_an_adversary_without_gradients_is_compared_on_the_same_queries(results):
    plain, masked = results[Net], results[Masked]
    name = "query-only stronger than white-box"
    values = [next(f.value for f in done.flags if f.name == name) for done in (plain, masked)]
    assert values[0] < values[1]


def test_a_surrogate_is_one_more_attack(given, monkeypatch):
    monkeypatch.setattr(suite, "MEMBERS", (("noise", {}), ("square", {"query_budget": 5})))
    monkeypatch.setattr(suite, "flags_of", lambda case, worst: [])
    done = attacked(Net(), given, eps=2 / 255, surrogate=hp.Victim(Net(), bits=BITS, size=SIDE))
    assert [member.attack for member in done.members][:2] == ["noise", "transfer"]


def test_a_suite_of_a_run_is_kept_and_resumed(encoded, hashprobe, monkeypatch):
    monkeypatch.setattr(suite, "MEMBERS", (("noise", {}), ("bit-margin", {"steps": 3})))
    monkeypatch.setattr(suite_flags, "SHOWN", 5)
    words = ("attack", "suite", encoded, "--queries", 3, "--eps", "64/255")
    first, again = hashprobe(*words), hashprobe(*words, "--json")
    assert first.code == again.code == 0, first.err + again.err
    assert "| flag | raised |" in first.out
    kept = json.loads((encoded / "suites" / "64of255-3-seed0" / "suite.json").read_text())
    shown = json.loads(again.out)
    assert shown["map_worst"] == kept["map_worst"] and shown["felled_by"] == kept["felled_by"]
    assert (
        (encoded / "suites" / "64of255-3-seed0" / "suite.md").read_text().startswith("Suite at 64")
    )
    assert "queries are finished already" in again.err


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_fallen_is_a_share_of_the_clean_value(share):
    clean, worst = np.array([1.0, 0.5, 0.0]), np.array([share, share, 0.0])
    assert fallen(worst, clean, share).tolist() == [True, False, True]
