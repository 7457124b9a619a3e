"""A hardened network as a remedy: the same audit of another network, with its own database."""

import numpy as np
import pytest
import torch
from PIL import Image

import hashprobe as hp
from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import hamming
from hashprobe.data.decoding import decode_picture
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.false_matching import false_matches
from hashprobe.evaluation.instances import Sources
from hashprobe.victims.loading import load_victim


SIDE = 12
KNOWN = {"eps": (16 / 255,), "exact": False, "edits": False, "steps": 10}
NETWORKS = f"""
from dataclasses import replace
import torch
import hashprobe as hp

def linear(seed, bits, side={SIDE}):
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * side**2, bits))
    return hp.Victim(net, bits=bits, size=side, mean=0.5)

def first():
    return linear(0, 24)

def second():
    return linear(1, 24)

def short():
    return linear(1, 16)

def small():
    return linear(1, 24, 6)

def cut():
    net = first()
    return net.with_contract(replace(net.contract, fit="crop"))
"""


@pytest.fixture(scope="module", autouse=True)
def networks(tmp_path_factory):
    """Factories of victims in a module of the name `made_networks`."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "made_networks.py").write_text(NETWORKS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (12, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)


def audited(pictures, *names, **more):
    files = hp.AuditFiles(hardened=tuple(f"made_networks:{name}" for name in names))
    victim = load_victim("made_networks:first")
    return hp.audit(victim, pictures, files=files, **KNOWN, **{"radius": 4, **more})


def test_a_network_that_was_not_changed_has_the_numbers_of_the_audit(pictures):
    found = audited(pictures, "first")
    (row,) = found.remedies
    assert row.title == "hardened network made_networks:first within 4" and not found.radii
    for name, rate in (("evade", row.evasion), ("collide", row.collision)):
        own = found.goal(name).rates[-1][1]
        np.testing.assert_array_equal(own.per_query, rate.per_query)
        assert rate.value > 0.5
    assert row.match.value == found.match.value == 1
    assert found.to_json()["options"]["hardened"] == ["made_networks:first"]
    assert found.to_json()["remedies"][0]["remedy"] == "hardened"
    assert r"hardened network made\_networks:first within 4" in found.markdown()


def test_another_network_is_attacked_and_judged_with_a_database_of_its_own(pictures, tmp_path):
    found = audited(pictures, "first", "second", out=tmp_path / "out")
    row = found.remedies[1]
    other = load_victim("made_networks:second")
    stored = other.encode(pictures).packed
    files = (tmp_path / "out/attacks/hardened-1").glob("evade-r4-16of255/*/png/*.png")
    moved = {int(path.stem): torch.as_tensor(decode_picture(path)) for path in files}
    assert sorted(moved) == list(range(12))
    codes = other.encode(torch.stack([moved[row] for row in range(12)])).packed
    gone = np.diagonal(hamming(codes, stored)) > 4
    np.testing.assert_array_equal(row.evasion.per_query, gone)
    far = torch.stack([moved[place] for place in range(12)]).int() - pictures.int()
    assert far.abs().max() <= 16


def test_its_radius_is_found_as_that_of_the_audit_is(pictures):
    found = audited(pictures, "short", radius="auto", fpr=0.05)
    (row,) = found.remedies
    codes = load_victim("made_networks:short").encode(pictures).packed
    apart = Sources(np.arange(12), np.arange(12))
    want = false_matches(codes, codes, apart).threshold(0.05).radius
    assert row.title.endswith(f"made_networks:short within {want}") and want != found.radius
    assert row.false_match <= 0.05


def test_a_network_of_another_size_is_given_resized_pictures(pictures):
    (row,) = audited(pictures, "small").remedies
    assert row.match.value == 1 and 0 <= row.evasion.value <= 1


@pytest.mark.parametrize(
    ("victim", "name"), [("first", "cut"), ("cut", "second"), ("cut", "small")]
)
def test_pictures_of_a_folder_are_fitted_as_the_queries_are(victim, name, pictures, tmp_path):
    """Wide pictures in a folder: squashed and cut out they are two pictures."""
    for place in range(4):
        wide = torch.cat([pictures[place], pictures[place + 4]], 2)
        Image.fromarray(wide.permute(1, 2, 0).numpy()).save(tmp_path / f"{place}.png")
    known = {**KNOWN, "goals": ("evade",), "radius": 2, "steps": 1}
    files = hp.AuditFiles(hardened=(f"made_networks:{name}",))
    audited = load_victim(f"made_networks:{victim}")
    (row,) = hp.audit(audited, tmp_path, tmp_path, files=files, **known).remedies
    assert row.match.value == 1


def test_what_cannot_be_done_is_one_line(pictures):
    victim = load_victim("made_networks:first")
    codes = Codes.of(victim.encode(pictures).packed)
    files = hp.AuditFiles(hardened=("made_networks:second",))
    with pytest.raises(HashprobeError, match="the database is codes without pictures: give"):
        hp.audit(victim, pictures, codes, files=files, radius=4, **KNOWN)
    with pytest.raises(HashprobeError, match="gives 16 bits and the victim 24"):
        audited(pictures, "short")
    with pytest.raises(HashprobeError, match="--hardened is measured by the goals evade"):
        audited(
            hp.Queries(pictures, labels=np.eye(2, dtype=bool)[np.arange(12) % 2]),
            "second",
            goals=("show",),
        )
    with pytest.raises(HashprobeError, match="no victim at nowhere"):
        hp.audit(victim, pictures, files=hp.AuditFiles(hardened=("nowhere.pt2",)), radius=4)
