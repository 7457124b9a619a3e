"""The public door: the lines of the README on digits, every form of input, and what is refused."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import hashprobe as hp
from hashprobe.attacks import prototypes
from hashprobe.attacks.generator import Generator
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import ATTACKS
from hashprobe.codes.packed import paired_hamming
from hashprobe.data.queries import Queries
from hashprobe.evaluation.measures import targeted_mean_average_precision
from hashprobe.victims.encoding import encode


README = Path(__file__).parents[1] / "README.md"
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
QUERIES, DATABASE = slice(0, 6), slice(300, 500)
EPS = 64 / 255


def build(bits=48, seed=0):
    """A small network from normalised pixels to logits."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 16, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(256, bits),
        )


@pytest.fixture(scope="module")
def digits():
    """(images, classes): 500 digits as uint8 (N, 3, 8, 8), in numpy."""
    images, classes = load_digits(return_X_y=True)
    grey = np.round(images[:500].reshape(-1, 1, 8, 8) / 16 * 255).astype(np.uint8)
    return np.repeat(grey, 3, axis=1), classes[:500].astype(np.int64)


@pytest.fixture(scope="module")
def net(digits):
    """A network of 48 bits, trained so that a digit has the code of its class."""
    images, classes = torch.from_numpy(digits[0][6:300]), torch.from_numpy(digits[1][6:300])
    network, rng = build(), torch.Generator().manual_seed(1)
    centres = torch.randint(0, 2, (10, 48), generator=rng).float()
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(120):
        logits = network((images / 255 - 0.5) / 0.25)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, centres[classes])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


@pytest.fixture(scope="module")
def victim(net):
    return hp.Victim(net, bits=48, size=8, mean=MEAN, std=STD)


@pytest.fixture(scope="module")
def database(victim, digits):
    return victim.encode(digits[0][DATABASE], labels=digits[1][DATABASE])


@pytest.fixture(scope="module")
def goal(database, digits):
    return hp.targets(database, avoid=digits[1][QUERIES], n_t=5)


@pytest.fixture(scope="module")
def attacked(victim, digits, goal):
    return hp.attack(victim, digits[0][QUERIES], goal, "dhta", eps=EPS, steps=30)


def assert_equal(one, two):
    """Two results have the same pixels, codes and targets."""
    assert torch.equal(one.images8[:], two.images8[:])
    assert (one.codes, one.clean_codes) == (two.codes, two.clean_codes)
    np.testing.assert_array_equal(one.target_labels, two.target_labels)
    np.testing.assert_array_equal(one.target_codes, two.target_codes)


# The lines of the README


@pytest.fixture(scope="module")
def readme(net, digits):
    """The names after the first block of the README, and what it prints; only scaled to 8 px."""
    block = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[1]
    code = block.replace("size=224", "size=8").replace("8 / 255", "64 / 255")
    assert code.count("size=8") == code.count("64 / 255") == 1
    said = []
    names = {
        "net": net, "MEAN": MEAN, "STD": STD, "print": lambda text: said.append(str(text)),
        "database_images": digits[0][DATABASE], "database_labels": digits[1][DATABASE],
        # From ten queries on a measure has an interval.
        "query_images": digits[0][:12], "query_labels": digits[1][:12],
    }  # fmt: skip
    exec(compile(code, str(README), "exec"), names)
    return names, said


def test_the_lines_of_the_readme_move_the_search_results(readme):
    names, (text,) = readme
    done = hp.evaluate(names["attacked"], names["database"])
    assert done.floor.value < 0.3 and done.map_clean.value > 0.8
    assert done.achieved.value > done.floor.value + 0.3
    assert done.map_attacked.value < done.map_clean.value - 0.3
    assert done.perceptibility.linf_255 <= 64
    assert text == str(done)


def test_print_shows_the_measure_with_its_bounds_interval_and_signature(readme):
    _, (text,) = readme
    number = r"0\.\d{3} \[0\.\d{3}, \d\.\d{3}\]"
    for label in ("t-MAP after 8 bits", "floor", "ceiling", "lift", "MAP clean", "MAP attacked"):
        assert re.search(rf"{label}[^\n]* {number}\n", text), label
    assert "signature" in text and "tMAP@all|norm:hits|ties:stable|empty:zero|rel:any" in text
    assert "q:12|db:200" in text


# Forms of input


FORMS = {
    "numpy": lambda pixels: pixels,
    "torch": torch.from_numpy,
    "list of arrays": list,
    "list of tensors": lambda pixels: [torch.from_numpy(one) for one in pixels],
    "nested lists": lambda pixels: (pixels / 255).tolist(),
    "float32": lambda pixels: np.float32(pixels / 255),
    "float64": lambda pixels: pixels / 255,
    "float tensor": lambda pixels: torch.from_numpy(pixels) / 255,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_pixels_gives_the_same_result(form, victim, digits, goal, attacked, database):
    given = FORMS[form]
    images = given(digits[0][QUERIES])
    assert_equal(hp.attack(victim, images, goal, "dhta", eps=EPS, steps=30), attacked)
    again = victim.encode(given(digits[0][DATABASE]), labels=digits[1][DATABASE])
    assert again.packed == database.packed


LABELS = {
    "classes": lambda classes: classes,
    "int32": lambda classes: classes.astype(np.int32),
    "list": lambda classes: classes.tolist(),
    "tensor": torch.from_numpy,
    "multi-hot bool": lambda classes: np.arange(10) == classes[:, None],
    "multi-hot 0/1": lambda classes: (np.arange(10) == classes[:, None]).astype(np.float32),
    "multi-hot tensor": lambda classes: torch.from_numpy(np.arange(10) == classes[:, None]),
    "multi-hot list": lambda classes: (np.arange(10) == classes[:, None]).astype(int).tolist(),
}


@pytest.mark.parametrize("form", LABELS)
def test_every_form_of_labels_gives_the_same_goal_and_numbers(
    form, victim, digits, goal, attacked, database
):
    given = LABELS[form]
    known = hp.Codes.of(database.packed, given(digits[1][DATABASE]))
    np.testing.assert_array_equal(known.labels, database.labels)
    again = hp.targets(known, avoid=given(digits[1][QUERIES]), n_t=5)
    np.testing.assert_array_equal(again.codes, goal.codes)
    np.testing.assert_array_equal(again.labels, goal.labels)
    one = hp.evaluate(attacked, database).to_json()
    assert hp.evaluate(attacked, known, labels=given(digits[1][QUERIES])).to_json() == one


@pytest.mark.parametrize("bits", [1, 7, 12, 48, 100])
def test_codes_of_any_length(bits, digits, tmp_path):
    victim = hp.Victim(build(bits), bits=bits, size=8, mean=MEAN, std=STD)
    database = victim.encode(digits[0][DATABASE], labels=digits[1][DATABASE])
    assert database.bits == bits and database.packed.data.shape == (200, -(-bits // 8))
    goal = hp.targets(database, avoid=digits[1][QUERIES], n_t=3)
    attacked = hp.attack(victim, digits[0][QUERIES], goal, "dhta", eps=EPS, steps=5)
    assert attacked.codes.bits == attacked.target_codes.shape[1] == bits
    done = hp.evaluate(attacked, database)
    wrong = (attacked.codes.signs() != attacked.target_codes).sum(1).mean()
    assert done.wrong.value == pytest.approx(wrong) and 0 <= done.wrong.value <= bits
    done.save(tmp_path / "kept")
    assert hp.AttackResult.load(tmp_path / "kept").codes == attacked.codes


def test_options_are_keywords_or_one_value(victim, digits, goal, attacked):
    from hashprobe.attacks import DhtaOptions

    images = digits[0][QUERIES]
    options = DhtaOptions(steps=30)
    assert_equal(hp.attack(victim, images, goal, "dhta", eps=EPS, options=options), attacked)
    assert (attacked.backwards == 30).all()
    fewer = hp.attack(victim, images, goal, "dhta", eps=EPS, steps=3)
    assert (fewer.backwards == 3).all()


def test_a_budget_stands_for_eps(victim, digits, goal, attacked):
    images, budget = digits[0][QUERIES], hp.Budget(EPS)
    assert_equal(hp.attack(victim, images, goal, "dhta", eps=budget, steps=30), attacked)
    space = hp.Budget(0.1, "normalised")
    moved = hp.attack(victim, digits[0][QUERIES], goal, "dhta", eps=space, steps=3)
    assert moved.spec.budget == space
    change = moved.images8[:].int() - torch.from_numpy(digits[0][QUERIES]).int()
    assert 0 < change.abs().max() <= 0.1 * 0.25 * 255


def test_a_plain_module_is_a_victim_where_nothing_has_to_be_guessed(net, digits, goal, attacked):
    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, images):
            return self.net((images - 0.5) / 0.25)

    given = Whole().train()
    moved = hp.attack(given, digits[0][QUERIES], goal, "dhta", eps=EPS, steps=30)
    assert (moved.codes, moved.clean_codes.bits) == (attacked.codes, 48)
    assert given.training and all(w.requires_grad for w in given.parameters())


# Attacks

QUICK = ("steps", "query_budget", "updates")
"""Options of which few are enough."""


@pytest.mark.parametrize("name", ATTACKS)
def test_every_registered_attack(name, victim, digits, goal, database, monkeypatch):
    monkeypatch.setattr(prototypes, "HIDDEN", 32)  # of what ProS-GAN trains
    options = {n: 5 for n in QUICK if n in vars(ATTACKS[name].options())}
    images = digits[0][QUERIES]
    moved = hp.attack(victim, images, goal, name, eps=EPS, **options)
    change = (moved.images8[:].int() - torch.from_numpy(images).int()).abs()
    assert 0 < change.max() <= 64
    assert hp.evaluate(moved, database).achieved is not None
    assert_equal(hp.attack(victim, images, goal, name, eps=EPS, **options), moved)


@pytest.mark.parametrize("name", [n for n in ATTACKS if ATTACKS[n].goal == "untargeted"])
def test_an_untargeted_attack_needs_no_goal(name, victim, digits, database):
    options = {n: 5 for n in ("steps", "query_budget") if n in vars(ATTACKS[name].options())}
    if "database" in ATTACKS[name].needs:
        with pytest.raises(hp.HashprobeError, match=f"attack {name} needs codes with labels"):
            hp.attack(victim, digits[0][QUERIES], attack=name, eps=EPS, **options)
        away = hp.Goal.untargeted(np.eye(10, dtype=bool)[digits[1][QUERIES]], database)
        moved = hp.attack(victim, digits[0][QUERIES], away, name, eps=EPS, **options)
    else:
        moved = hp.attack(victim, digits[0][QUERIES], attack=name, eps=EPS, **options)
    assert moved.target_codes is None and moved.target_labels is None
    done = hp.evaluate(moved, database, labels=digits[1][QUERIES])
    # A random start and five steps of 1/255 may leave a query about where it was.
    assert done.achieved is None and done.map_attacked.value <= done.map_clean.value + 0.01
    assert "t-MAP" not in str(done) and "MAP attacked" in str(done)


def brighten(
    victim, queries, goal, *, budget, options=None, seed=0, runtime=None
):  # the contract of an attack
    return (queries.pixels + budget.eps / 2).clamp(0, 1)


def overstep(victim, queries, goal, *, budget, options=None, seed=0, runtime=None):
    return queries.pixels + 2 * budget.eps


def test_a_function_of_ones_own_is_an_attack(victim, digits, goal, database):
    images = digits[0][QUERIES]
    moved = hp.attack(victim, images, goal, brighten, eps=EPS)
    wanted = np.round(np.clip(images / 255 + EPS / 2, 0, 1) * 255)
    assert np.abs(moved.images8[:].numpy() - wanted).max() <= 1
    assert moved.spec.name.endswith("brighten")
    assert hp.evaluate(moved, database).achieved is not None
    # An attack never decides on its budget.
    most = hp.attack(victim, images, goal, overstep, eps=EPS).images8[:].int()
    assert (most - torch.from_numpy(images).int()).abs().max() == 64


@pytest.mark.parametrize("given", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", ATTACKS)
def test_float64_images_are_attacked_on_a_float32_victim(name, given, victim, digits, goal):
    """The functions of the attacks take either; the network keeps its own precision."""
    attack = ATTACKS[name]
    options = attack.options()
    fewer = {n: 8 for n in ("steps", "query_budget") if hasattr(options, n)}
    options = dataclasses.replace(options, **fewer)
    images = torch.from_numpy(digits[0][QUERIES]).to(given) / 255
    aim = goal if attack.goal == "targeted" else Goal.untargeted(goal.own_labels, goal.known)
    if "target images" in attack.needs:
        aim = dataclasses.replace(goal, images=Queries(images.flip(-1)))
    if "generator" in attack.needs:
        aim = dataclasses.replace(goal, generator=Generator(10, 8))
    moved = attack.run(victim, Queries(images), aim, budget=hp.Budget(EPS), options=options)
    assert moved.dtype == given and moved.shape == images.shape
    change = (moved - images).abs()
    assert 0.01 < change.max() <= EPS + 1e-6 and moved.min() >= 0 and moved.max() <= 1
    if given == torch.float64:
        again = attack.run(
            victim, Queries(images.float()), aim, budget=hp.Budget(EPS), options=options
        )
        assert ((moved - again).abs() < 1e-3).float().mean() > 0.95


def test_float64_clips_are_attacked_on_a_float32_victim(
    clip_hasher, own_clip_hasher, clips8, lengths
):
    clips = clips8.double() / 255
    queries = Queries(clips, lengths=lengths)
    goal = Goal.targeted(torch.ones(5, 16))
    for victim in (clip_hasher(), own_clip_hasher()):
        for name in ("bit-margin", "dhta"):
            for rule in ({}, {"frames": 2}, {"shared": True}):
                moved = ATTACKS[name].run(
                    victim, queries, goal, budget=hp.Budget(EPS, **rule),
                    options=dataclasses.replace(ATTACKS[name].options(), steps=12),
                )  # fmt: skip
                assert moved.dtype == torch.float64
                assert 0.01 < (moved - clips).abs().max() <= EPS + 1e-6
    assert encode(clip_hasher(), queries) == encode(
        clip_hasher(), Queries(clips.float(), lengths=lengths)
    )


@pytest.mark.parametrize("n_t", [2, 4])
def test_tied_bits_count_as_plus_one_where_they_are_measured(n_t, victim, digits, database):
    images, classes = digits[0][QUERIES], digits[1][QUERIES]
    goal = hp.targets(database, avoid=classes, n_t=n_t, tie="zero")
    plus = hp.targets(database, avoid=classes, n_t=n_t, tie="plus")
    tied = goal.codes == 0
    assert tied.any() and (plus.codes[tied] == 1).all() and (plus.codes == goal.codes)[~tied].all()
    done = hp.evaluate(
        hp.attack(victim, images, goal, "dhta", eps=EPS, steps=3, n_t=n_t, tie="zero"), database
    )
    right = hp.PackedCodes.from_signs(plus.codes)
    wrong = paired_hamming(done.attacked.codes, right)
    np.testing.assert_array_equal(done.wrong.per_query, wrong)
    same = hp.evaluate(dataclasses.replace(done.attacked, target_codes=plus.codes), database)
    np.testing.assert_array_equal(done.ceiling.per_query, same.ceiling.per_query)
    ceiling = targeted_mean_average_precision(right, database.packed, goal.labels, database.labels)
    np.testing.assert_allclose(done.ceiling.per_query, ceiling.per_query)


# Results


def test_a_folder_keeps_finished_queries_and_is_resumed(victim, digits, goal, attacked, tmp_path):
    words = (victim, digits[0][QUERIES], goal, "dhta")
    one = hp.attack(*words, eps=EPS, steps=30, out=tmp_path / "out")
    assert_equal(one, attacked)
    files = sorted((tmp_path / "out" / "queries").iterdir())
    stamps = [path.stat().st_mtime_ns for path in files]
    files[2].unlink()
    assert_equal(hp.attack(*words, eps=EPS, steps=30, out=tmp_path / "out"), attacked)
    after = [path.stat().st_mtime_ns for path in files]
    assert [a == b for a, b in zip(stamps, after, strict=True)] == [True] * 2 + [False] + [True] * 3
    with pytest.raises(hp.HashprobeError, match=r"options\.steps: 30 there, 20 here"):
        hp.attack(*words, eps=EPS, steps=20, out=tmp_path / "out")


def test_a_result_is_saved_read_and_said_as_json(attacked, digits, database, tmp_path):
    assert_equal(hp.AttackResult.load(attacked.save(tmp_path / "kept")), attacked)
    content = json.loads(json.dumps(attacked.to_json()))
    assert content["bits"] == 48 and content["recipe"]["attack"] == "dhta"
    assert [query["id"] for query in content["queries"]] == list(range(6))
    for query, code in zip(content["queries"], attacked.codes.data, strict=True):
        assert bytes.fromhex(query["code"]) == code.tobytes()
    with pytest.raises(hp.HashprobeError, match="is not an empty folder"):
        attacked.save(tmp_path / "kept")
    loaded = hp.AttackResult.load(tmp_path / "kept")
    one = hp.evaluate(loaded, database, labels=digits[1][QUERIES])
    assert one.achieved.value == hp.evaluate(attacked, database).achieved.value


def test_an_evaluation_is_saved_and_read(attacked, database, tmp_path):
    done = hp.evaluate(attacked, database)
    done.save(tmp_path / "kept")
    content = json.loads((tmp_path / "kept" / "evaluation.json").read_text())
    assert content == json.loads(json.dumps(done.to_json()))
    assert hp.Evaluation.from_json(content).achieved.value == done.achieved.value
    assert_equal(hp.AttackResult.load(tmp_path / "kept"), attacked)


def test_a_report_has_curves_and_pictures_of_queries_and_results(attacked, database, tmp_path):
    done = hp.evaluate(attacked, database)
    path = done.report(tmp_path / "page.html", examples=4, label_names=[f"d{i}" for i in range(10)])
    page = path.read_text()
    bare = hp.Codes(database.packed, database.labels)
    other = hp.evaluate(attacked, bare).report(tmp_path / "bare.html", examples=4).read_text()
    assert page.count("<article") == other.count("<article") == 4
    assert page.count("<svg") >= 2
    # Of each query two pictures and their difference or less; of each list of results ten.
    assert other.count("<img") >= 8
    assert page.count("<img") >= other.count("<img") + 4 * 2 * 5
    assert "d3" in page and "https:" not in page and "<script src" not in page


# What is refused


def refused(call):
    """The one line of a refusal."""
    with pytest.raises(hp.HashprobeError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.usefixtures("as_for_users")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: (x / 255 - 0.5) / 0.25, "-2 to 2: already normalised?"),
        (lambda x: x.astype(np.float32), "0 to 255: divide by 255?"),
        (lambda x: x.transpose(0, 2, 3, 1), "put the channels before height and width"),
        (lambda x: x[0], "add a dimension in front"),
        (lambda x: x[:0], "N at least 1"),
        (lambda x: x.astype(np.int64), "must be uint8 in 0..255 or floating in [0, 1]; got int64"),
        (lambda x: np.where(x == 0, np.nan, x / 255), "some are NaN"),
        (lambda x: np.repeat(x, 2, axis=-1), "8x8 pixels; got 8x16"),
        (lambda x: [x[0], x[1, :, :7]], "must all have one shape"),
        (lambda x: "pictures", "must be an array, a tensor or a list of pictures; got str"),
    ],
)
def test_pixels_that_do_not_fit(change, words, victim, digits, goal):
    images = change(digits[0][QUERIES])
    assert words in refused(lambda: hp.attack(victim, images, goal, eps=EPS))


@pytest.mark.usefixtures("as_for_users")
def test_networks_that_do_not_fit(net, victim, digits, goal):
    images = digits[0][QUERIES]
    tuples = hp.Victim(lambda x: (net(x), 1), bits=48, size=8)
    assert "the network gave a tuple" in refused(lambda: hp.attack(tuples, images, goal, eps=EPS))
    short = hp.Victim(net, bits=32, size=8)
    assert "say bits=48?" in refused(lambda: short.encode(images))
    assert "16x16 pixels; got 8x8" in refused(
        lambda: hp.Victim(net, bits=48, size=16).encode(images)
    )
    assert "1 to 4096 bits; got 0" in refused(lambda: hp.Victim(net, bits=0, size=8))
    assert "std must be above 0" in refused(lambda: hp.Victim(net, bits=48, std=0))
    assert "got int" in refused(lambda: hp.Victim(7, bits=48))
    other = hp.Victim(build(32), bits=32, size=8)
    words = "target codes have 48 bits but the victim gives 32"
    assert words in refused(lambda: hp.attack(other, images, goal, "dhta", eps=EPS))


@pytest.mark.usefixtures("as_for_users")
def test_labels_goals_and_options_that_do_not_fit(victim, digits, goal, database, attacked):
    images, classes = digits[0][QUERIES], digits[1][QUERIES]
    bare = hp.Codes(database.packed)
    for call in (lambda: hp.targets(bare, avoid=classes), lambda: hp.evaluate(attacked, bare)):
        assert "the database has no labels" in refused(call)
    assert "avoid=" in refused(lambda: hp.targets(database))
    assert "not below 10 classes" in refused(lambda: hp.targets(database, avoid=[12] * 6))
    assert "2 labels for 6 codes" in refused(lambda: victim.encode(images, labels=[1, 2]))
    assert "6 target codes for 4 images" in refused(
        lambda: hp.attack(victim, images[:4], goal, "dhta", eps=EPS)
    )
    typo = refused(lambda: hp.attack(victim, images, goal, "dhta", eps=EPS, stepz=3))
    assert typo.startswith("attack dhta has no option stepz: did you mean step?")
    assert "choose from" in refused(lambda: hp.attack(victim, images, goal, "dtha", eps=EPS))
    assert "make a goal by targets()" in refused(
        lambda: hp.attack(victim, images, attack="dhta", eps=EPS)
    )
    assert "eps must be above 0" in refused(lambda: hp.attack(victim, images, goal, eps=0.0))
    assert "at most 1 in pixels; got 8" in refused(lambda: hp.attack(victim, images, goal, eps=8))
    assert "no option tops" in refused(lambda: hp.evaluate(attacked, database, tops=3))
    both = refused(
        lambda: hp.attack(victim, images, goal, "dhta", options=ATTACKS["dhta"].options(), steps=3)
    )
    assert "not both" in both


@pytest.mark.usefixtures("as_for_users")
@pytest.mark.parametrize("kind", ["V4", "M8[ns]", "m8[s]", "c8", "O", "U1"])
def test_arrays_of_other_kinds(kind, victim, digits, goal, database, attacked):
    images, strange = digits[0][QUERIES], np.zeros((6, 3, 8, 8), kind)
    words = "must be numbers or booleans; got"
    for values in (strange, list(strange)):
        assert words in refused(lambda values=values: hp.attack(victim, values, goal))
    assert words in refused(lambda: hp.Codes.of(strange[:, 0, 0]))
    assert words in refused(lambda: hp.Goal.targeted(strange[:, 0, 0]))
    for labels in (strange[:, 0, 0, 0], strange[:, 0, 0]):
        assert "labels must" in refused(lambda v=labels: hp.targets(database, avoid=v))
        assert "labels must" in refused(lambda v=labels: hp.evaluate(attacked, database, labels=v))
        assert "labels must" in refused(lambda v=labels: victim.encode(images, labels=v))


@pytest.mark.usefixtures("as_for_users")
def test_labels_of_another_width_and_queries_without_a_label(database, attacked):
    width = database.labels.shape[1]
    for wide in (np.eye(6, width + 1, dtype=bool), np.eye(6, width - 1, dtype=bool)):
        assert f"must have {width} classes" in refused(lambda v=wide: hp.targets(database, avoid=v))
        assert "must have" in refused(lambda v=wide: hp.evaluate(attacked, database, labels=v))
    bare = np.eye(6, width, dtype=bool)
    bare[4] = False
    assert "query 4 has no label" in refused(lambda: hp.evaluate(attacked, database, labels=bare))
    assert "got a list" in refused(lambda: hp.evaluate([attacked], database))
    assert "database must be a Codes; got an array" in refused(
        lambda: hp.evaluate(attacked, database.packed.data)
    )


# Victims from files


def test_a_victim_from_a_run_folder(audit, digits):
    victim = hp.load_victim(audit[0])
    assert (victim.bits, victim.training) == (16, False)
    assert victim.encode(digits[0][QUERIES]) is not None
    assert hp.load_victim(audit[0] / "model").encode(digits[0][DATABASE]).packed == (
        victim.encode(digits[0][DATABASE]).packed
    )
    assert "knows its own contract" in refused(lambda: hp.load_victim(audit[0], bits=16))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_victim_from_a_program_and_from_torchscript(net, digits, goal, attacked, tmp_path):
    example = (torch.zeros(2, 3, 8, 8),)
    dynamic = ({0: torch.export.Dim("n", min=1, max=512)},)
    torch.export.save(torch.export.export(net, example, dynamic_shapes=dynamic), tmp_path / "n.pt2")
    torch.jit.trace(net, example).save(tmp_path / "n.ts")
    for name in ("n.pt2", "n.ts"):
        loaded = hp.load_victim(tmp_path / name, bits=48, size=8, mean=MEAN, std=STD)
        moved = hp.attack(loaded, digits[0][QUERIES], goal, "dhta", eps=EPS, steps=30)
        assert moved.codes == attacked.codes
        assert hp.load_victim(tmp_path / name, size=8).bits == 48
    (tmp_path / "text.pt2").write_text("no program")
    (tmp_path / "text.ts").write_text("no program")
    for name in ("text.pt2", "text.ts", "none.pt2"):
        assert str(tmp_path / name) in refused(lambda name=name: hp.load_victim(tmp_path / name))


def test_a_victim_from_a_factory(net, digits, database, tmp_path, monkeypatch):
    (tmp_path / "own_factory.py").write_text("NET = None\n\n\ndef made():\n    return NET\n")
    monkeypatch.syspath_prepend(tmp_path)
    import own_factory

    own_factory.NET = net
    victim = hp.load_victim("own_factory:made", bits=48, size=8, mean=MEAN, std=STD)
    assert victim.encode(digits[0][DATABASE]).packed == database.packed
    own_factory.NET = victim
    assert hp.load_victim("own_factory:made") is victim
    assert "no factory own_factory:none" in refused(lambda: hp.load_victim("own_factory:none"))


# The import


def python(code):
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()


def test_the_import_is_quick_and_loads_neither_torch_nor_numpy():
    code = (
        "import sys, time; start = time.process_time(); import hashprobe; "
        "spent = time.process_time() - start; "
        "print(spent, 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    said = [python(code).split() for _ in range(3)]
    assert all(words[1:] == ["False", "False"] for words in said)
    assert min(float(words[0]) for words in said) < 0.1


def test_a_package_is_there_once_the_library_is_imported():
    assert python("import hashprobe; print(hashprobe.attacks.ATTACKS['dhta'].title)") == "DHTA"


def test_every_public_name_exists():
    assert {"Victim", "load_victim", "attack", "evaluate", "targets", "Budget"} <= set(hp.__all__)
    for name in hp.__all__:
        assert getattr(hp, name) is not None
    assert set(hp.__all__) <= set(dir(hp))
