"""What networks expect of their pixels, against the arithmetic; options from a YAML file."""

import numpy as np
import pytest
import torch
from torch import nn

import hashprobe as hp
from hashprobe.crafting.provenance import recipe_of
from hashprobe.errors import HashprobeError
from hashprobe.types import InputContract
from hashprobe.victims.foreign import VictimOptions, beside, options_of


BITS = 3 * 4 * 4


@pytest.fixture
def pixels():
    return torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))


class Seen(nn.Module):
    """Gives what it is given, and keeps it."""

    def forward(self, given):
        self.given = given
        return given.flatten(1)


@pytest.mark.parametrize(
    ("name", "scale", "offset"), [("0..1", 1, 0), ("0..255", 255, 0), ("-1..1", 2, -1)]
)
@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_network_is_given_what_it_expects(name, scale, offset, bgr, layout, pixels):
    mean, std = (0.3, 0.1, 0.2), (0.5, 2.0, 4.0)
    victim = hp.Victim(
        Seen(), bits=BITS, size=4, mean=mean, std=std, range=name, bgr=bgr, layout=layout
    )
    victim(pixels)
    wanted = pixels[:, [2, 1, 0]] if bgr else pixels
    wanted = (wanted * scale + offset - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(
        3, 1, 1
    )
    wanted = wanted if layout == "nchw" else wanted.permute(0, 2, 3, 1)
    torch.testing.assert_close(victim.network.given, wanted, rtol=1e-5, atol=1e-5)


def test_normalised_units_belong_to_colours(pixels):
    victim = hp.Victim(Seen(), bits=BITS, size=4, std=(51, 102, 255), range="0..255", bgr=True)
    assert victim.contract.std == (1.0, 0.4, 0.2)
    assert hp.Budget(0.1, "normalised").both_readings(victim.contract.std).endswith("pixels")


def test_zeros_may_be_no_bits(pixels):
    outputs = torch.tensor([[0.0, 1.0, -1.0, -0.0]])
    for bit in (0, 1):
        victim = hp.Victim(lambda x: outputs.expand(len(x), 4), bits=4, size=4, zero_bit=bit)
        signs = hp.PackedCodes.from_logits(victim(pixels)).signs()
        assert signs[0].tolist() == [2 * bit - 1, 1, -1, 2 * bit - 1]
        assert victim.reading == ({} if bit else {"zero_bit": 0})


def test_keys_of_finished_results_stay_as_they_were(pixels):
    """By default a contract has the entries that it had before there were more."""
    victim = hp.Victim(Seen(), bits=BITS, size=4)
    goal, spec = hp.Goal.untargeted(), hp.AttackSpec("noise", budget=hp.Budget(0.1))
    recipe = recipe_of(victim, hp.Queries(pixels), goal, spec, "float32")
    known = {"filter": "bilinear", "fit": "squash", "frames": 0, "size": 4}
    assert recipe["contract"] == {"mean": [0.0] * 3, "std": [1.0] * 3, **known}
    assert list(recipe["contract"]) == ["size", "mean", "std", "filter", "fit", "frames"]
    assert "reading" not in recipe
    assert InputContract(resize_to=256).to_json()["resize_to"] == 256


def test_the_same_weights_with_another_contract(pixels):
    victim = hp.Victim(nn.Sequential(nn.Flatten(), nn.Linear(BITS, 8)), bits=8, size=4)
    contract = InputContract(4, (0.1, 0.2, 0.3), (0.5, 0.5, 0.5), bgr=True)
    twin = victim.with_contract(contract)
    direct = hp.Victim(victim.network, bits=8, size=4, mean=(0.3, 0.2, 0.1), std=0.5, bgr=True)
    torch.testing.assert_close(twin(pixels), direct(pixels))
    torch.testing.assert_close(victim(pixels), victim.network(pixels))
    assert twin.network is victim.network and victim.contract.mean == (0, 0, 0)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_options_come_from_a_file_beside_the_network_and_from_the_caller(tmp_path):
    torch.jit.trace(Seen(), torch.zeros(1, 3, 4, 4)).save(tmp_path / "net.ts")
    (tmp_path / "net.yaml").write_text(
        "size: 4\nmean: [104, 117, 123]\nrange: 0..255\nresize: shorter\n"
    )
    victim = hp.load_victim(tmp_path / "net.ts")
    assert (victim.bits, victim.contract.size, victim.contract.fit) == (BITS, 4, "crop")
    assert victim.contract.mean == pytest.approx((104 / 255, 117 / 255, 123 / 255))
    victim = hp.load_victim(tmp_path / "net.ts", mean=0, fit="pad", options=VictimOptions(bgr=True))
    assert victim.contract.mean == (0, 0, 0)
    assert (victim.contract.fit, victim.contract.bgr, victim.contract.size) == ("pad", True, 4)


def test_a_binariser_in_a_file_is_from_where_the_file_is(tmp_path):
    (tmp_path / "net.yml").write_text("binarise: itq.npz")
    assert beside(tmp_path / "net.pt2").binarise == tmp_path / "itq.npz"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bit: 8", r"net\.yaml has no option 'bit'; did you mean bits\? .*rename it"),
        ("bits: many", r"net\.yaml bits must be a whole number or None; got 'many'"),
        ("mean: [1, 2]", "mean must be one number, or one for each of 3 channels"),
        ("range: 0..2", r"range must be one of 0\.\.1, 0\.\.255, -1\.\.1 or None"),
        ("std: 0", "std must be above 0"),
        ("resize: squash\nfit: pad", "both fit and resize"),
        ("bits: 8\nbits: 9", "has the key 'bits' twice"),
        ("- 8", "must hold options of the network such as bits: 64"),
        ("{", "is not plain YAML"),
        ("size: 0", "size must be at least 1; got 0"),
        ("size: 9\nresize_to: 8", "resize_to must be 9 to"),
    ],
)
def test_a_file_of_other_options_is_refused_in_one_line(text, message, tmp_path):
    (tmp_path / "net.yaml").write_text(text)
    with pytest.raises(HashprobeError, match=message) as error:
        beside(tmp_path / "net.pt2")
    assert len(str(error.value).splitlines()) == 1
    assert str(tmp_path / "net.yaml") in str(error.value)


def test_unknown_options_are_refused():
    with pytest.raises(
        HashprobeError, match=r"Victim\(\.\.\.\) has no option 'filtre'; did you mean filter"
    ):
        hp.Victim(nn.Flatten(), bits=4, filtre="box")
    with pytest.raises(HashprobeError, match="backbone is an option of load_victim"):
        hp.Victim(nn.Flatten(), bits=4, backbone="resnet18")
    with pytest.raises(HashprobeError, match="load_victim has no option 'colour'"):
        hp.load_victim("net.pt2", colour="bgr")
    assert options_of({"resize-to": 36}).over(VictimOptions(size=32)).contract().resize_to == 36
    assert options_of({"resize-to": 300, "resize": "shorter"}).contract().fit == "crop"


def test_numbers_of_numpy_are_numbers():
    options = VictimOptions(mean=np.float32(0.5), std=np.array([1, 2, 4]), size=np.int64(8))
    assert options.contract().std == (1, 2, 4) and type(options.contract().size) is int
