"""An audit of small victims: what is measured agrees with loops over the codes of its pictures."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import hashprobe as hp
from hashprobe.attacks._nes import NesOptions, nes_search
from hashprobe.attacks.search import Search
from hashprobe.codes.convention import BitConvention
from hashprobe.codes.labelled import Codes
from hashprobe.codes.labels import as_labels
from hashprobe.codes.npz import save_codes
from hashprobe.codes.packed import PackedCodes, hamming
from hashprobe.data.arrays import as_queries
from hashprobe.data.decoding import decode_picture
from hashprobe.defenses.defended import defended
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.instances import Sources
from hashprobe.progress import Silent
from hashprobe.types import Budget
from hashprobe.workflow import audit_time, encode_step
from hashprobe.workflow.audit_ladder import Ladder, Plan
from hashprobe.workflow.audit_numbers import within_searches
from hashprobe.workflow.audit_options import AuditOptions, Limit
from hashprobe.workflow.audit_page import render_audit
from hashprobe.workflow.audit_result import RemedyResult
from hashprobe.workflow.audit_words import best_remedy, headline
from hashprobe.workflow.expected import in_words


BITS, SIDE = 24, 12


def make_victim():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIDE**2, BITS))
    return hp.Victim(net, bits=BITS, size=SIDE, mean=0.5)


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (30, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, pictures):
    """Pictures as files, in two folders."""
    root = tmp_path_factory.mktemp("pictures")
    for place, picture in enumerate(pictures):
        path = root / ("a" if place % 2 else "b") / f"{place:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path)
    return root


@pytest.fixture(scope="module")
def done(tmp_path_factory, pictures):
    """An audit of twelve queries and where it is kept."""
    out = tmp_path_factory.mktemp("audit") / "out"
    result = hp.audit(make_victim(), pictures[:12], radius=4, eps=(4 / 255, 16 / 255), out=out)
    return result, out


def kept_pictures(out, goal, level):
    """The attacked pictures of one goal and budget, by query."""
    files = out.glob(f"attacks/{goal}-{level}of255/*/png/*.png")
    return {int(path.stem): torch.as_tensor(decode_picture(path)) for path in files}


def test_success_is_that_of_the_pictures_that_are_kept(done, pictures):
    result, out = done
    victim = make_victim()
    clean = victim.encode(pictures[:12]).packed
    for goal in ("evade", "collide"):
        found = result.goal(goal)
        reached = np.zeros(12, bool)
        for level, (_, rate) in zip((4, 16), found.rates, strict=True):
            for row, picture in kept_pictures(out, goal, level).items():
                far = (picture.int() - pictures[row].int()).abs().max()
                assert far <= level
                distances = hamming(victim.encode(picture[None]).packed, clean)[0]
                if goal == "evade":
                    reached[row] |= distances[row] > 4
                else:
                    reached[row] |= (np.delete(distances, row) <= 4).any()
            if goal == "evade":
                assert rate.value == pytest.approx(reached.mean())
            else:
                assert rate.value <= reached.mean() + 1e-9


def test_success_grows_with_the_budget_and_the_smallest_is_between(done):
    goal = done[0].goal("evade")
    first, second = (rate.value for _, rate in goal.rates)
    assert 0 < first < second
    half = goal.needed[0]
    assert half.value is not None
    assert 1 / 255 <= half.value <= 16 / 255
    assert abs(half.value * 255 - round(half.value * 255)) < 1e-9


def test_the_smallest_budget_is_the_smallest(pictures):
    """Bisection finds what an audit at every grey level finds."""
    known = {"radius": 4, "goals": ("evade",), "edits": False}
    few = hp.audit(make_victim(), pictures[:8], eps=(1 / 255, 8 / 255), **known)
    levels = tuple(level / 255 for level in range(1, 9))
    every = hp.audit(make_victim(), pictures[:8], eps=levels, exact=False, **known)
    at = [one.value for one in every.goal("evade").needed]
    assert [one.value for one in few.goal("evade").needed] == at


def test_it_goes_on_where_it_was_stopped(done, pictures, tmp_path):
    result, out = done
    copy = shutil.copytree(out, tmp_path / "out")
    (copy / "audit.json").unlink()
    shutil.rmtree(next(copy.glob("attacks/collide-16of255")))
    for path in sorted(copy.glob("attacks/evade-4of255/*/queries/*.npz"))[:5]:
        path.unlink()
    kept = sorted(copy.glob("attacks/evade-4of255/*/queries/*.npz"))
    times = [path.stat().st_mtime_ns for path in kept]
    again = hp.audit(make_victim(), pictures[:12], radius=4, eps=(4 / 255, 16 / 255), out=copy)
    old, new = result.to_json(), again.to_json()
    assert old.pop("created") <= new.pop("created")
    assert old == new
    assert [path.stat().st_mtime_ns for path in kept] == times
    names = {str(path.relative_to(out)) for path in out.rglob("png/*.png")}
    for name in names:
        assert (out / name).read_bytes() == (copy / name).read_bytes()


def test_the_record_and_the_page_are_whole(done):
    result, out = done
    record = json.loads((out / "audit.json").read_text())
    assert record == json.loads(json.dumps(result.to_json()))
    assert record["schema"] == 1
    assert {one["goal"] for one in record["goals"]} == {"evade", "collide"}
    page = (out / "report.html").read_text()
    assert page == render_audit(result)
    assert "<script" not in page and "http:" not in page
    assert "Of 12 pictures that match their own source today" in page
    assert page.count('class="example"') == len(result.samples) > 0
    assert (out / "report.md").read_text().startswith("# Audit of ")


def test_a_database_of_stored_codes_with_groups(folder, pictures, tmp_path):
    victim = make_victim()
    database = victim.encode(pictures).packed
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    rows = [int(name[2:4]) for name in names]
    np.savez(
        tmp_path / "codes.npz", codes=database[np.array(rows)].data, bits=BITS, ids=np.array(names)
    )
    table = tmp_path / "items.csv"
    lines = [f"{name},{place // 2},{name[0]}" for place, name in enumerate(names)]
    table.write_text("id,group,label\n" + "\n".join(lines) + "\n")
    found = hp.audit(
        victim,
        folder,
        tmp_path / "codes.npz",
        radius=2,
        eps=(16 / 255,),
        count=10,
        exact=False,
        files=hp.AuditFiles(labels=table),
    )
    assert found.items == 30 and found.queries == 10
    assert "src:given" in found.match.signature
    assert found.labels is not None and found.labels.achieved is not None
    assert found.match.value == 1


def test_a_list_to_enter_and_one_item_to_collide_with(pictures, tmp_path):
    victim = make_victim()
    path = tmp_path / "list.npz"
    save_codes(path, victim.encode(pictures[25:]).packed)
    known = {"radius": 4, "eps": (64 / 255,), "exact": False, "edits": False}
    files = hp.AuditFiles(block_list=path, item="2")
    found = hp.audit(make_victim(), pictures[:8], files=files, **known)
    hit, collision = found.goal("enter"), found.goal("collide")
    assert hit.rates[0][1].value > 0.5 and "hit@r4" in hit.rates[0][1].signature
    assert collision.queries == 7
    with pytest.raises(HashprobeError, match="no item 'nobody' to collide with"):
        hp.audit(
            make_victim(), pictures[:8], files=hp.AuditFiles(item="nobody"), goals=("collide",)
        )


def test_remedies_and_other_radii_are_attacked(pictures):
    found = hp.audit(
        make_victim(), pictures[:6], "copies", radius=4, eps=(16 / 255,), mitigate=True, steps=10
    )
    assert {one.name for one in found.remedies} >= {"jpeg", "resize", "blur", "median"}
    for one in found.remedies:
        assert 0 <= one.match.value <= 1 and 0 <= one.false_match <= 1
    assert [point.radius for point in found.radii] == [2, 4, 6, 8]
    evasion = [point.evasion for point in found.radii]
    assert evasion == sorted(evasion, reverse=True)
    assert len(found.edits) > 10
    assert "What helps" in render_audit(found)


def test_pictures_of_a_surrogate_are_judged_by_the_victim(pictures, folder, tmp_path):
    other = tmp_path / "net.pt2"
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 10))
    shapes = ({0: torch.export.Dim("n")},)
    torch.export.save(
        torch.export.export(net, (torch.rand(2, 3, 8, 8),), dynamic_shapes=shapes), other
    )
    (tmp_path / "net.yaml").write_text("bits: 10\nsize: 8\n")
    files = hp.AuditFiles(surrogates=(str(other),))
    small = torch.nn.functional.interpolate(pictures[:2].float(), 8).to(torch.uint8)
    loaded = hp.audit(hp.load_victim(other), small, radius=1, eps=(8 / 255,), steps=1, edits=False)
    assert loaded.victim["name"] == "net.pt2" and "Audit of net.pt2" in render_audit(loaded)
    found = hp.audit(
        make_victim(), pictures[:6], radius=4, eps=(32 / 255,), files=files, exact=False
    )
    by = [one for one in found.goals if one.by]
    assert [(one.name, one.by) for one in by] == [("evade", "net.pt2")]
    own = found.goal("evade")
    assert by[0].rates[0][1].value <= own.rates[0][1].value

    known = {"access": "query", "query_budget": 40, "goals": ("evade",), "edits": False}
    found = hp.audit(
        make_victim(), pictures[:6], radius=4, eps=(32 / 255,), files=files, exact=False, **known
    )
    shares = {one.by: one.rates[0][1].value for one in found.goals}
    assert list(shares) == ["", "net.pt2", "net.pt2, then by queries"]
    assert shares["net.pt2, then by queries"] >= shares["net.pt2"]
    # Queries that begin at these pictures reach what neither reaches alone.
    assert shares["net.pt2, then by queries"] > max(shares[""], shares["net.pt2"])
    assert "crafted on net.pt2, then by queries" in found.markdown()


def test_a_second_stage_by_floats(pictures):
    """The joint attack does at least what the attack on bits does to a two-stage search."""
    found = hp.audit(
        make_victim(), pictures[:10], "copies", radius=4, eps=(32 / 255,), rerank="cosine", top=3,
        oversample=2, exact=False, edits=False,
    )  # fmt: skip
    lists = {name: value.value for name, value in found.lists.items()}
    assert lists["two_stage_recall"] > 0.8
    assert lists["two_stage_recall_joint"] <= lists["two_stage_recall_bits"]
    assert lists["two_stage_recall_joint"] < lists["two_stage_recall"]
    assert lists["two_stage_hit"] < lists["two_stage_hit_joint"]
    victim = make_victim()
    database = hp.Codes(victim.encode(pictures).packed)
    with pytest.raises(HashprobeError, match="needs the floats of the database"):
        hp.audit(victim, pictures[:4], database, radius=1, rerank="cosine", eps=(8 / 255,))


def test_limits(done):
    result = done[0]
    rate = result.goal("evade").rates[-1][1].value
    assert result.exceeded([Limit.read(f"evasion@4={rate}"), Limit("false-match", 4, 1.0)]) == []
    (text,) = result.exceeded([Limit("evasion", 4, rate / 2)])
    assert text.startswith("evasion at radius 4 is")
    for limit, words in ((Limit("hit", 4, 0.1), "not attacked"), (Limit("evasion", 5, 0), "5")):
        with pytest.raises(HashprobeError, match=words):
            result.exceeded([limit])


NO_LIMITS = (
    "", "evasion", "evasion@10", "evasion@x=0.1", "up@3=0.1", "evasion@10=1.5", "evasion@10=0.1.2",
    "evasion@-1=0.5",
)  # fmt: skip


@pytest.mark.parametrize("text", NO_LIMITS)
def test_a_limit_of_another_form(text):
    with pytest.raises(HashprobeError, match="MEASURE@RADIUS=RATE"):
        Limit.read(text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"radius": -1}, "radius"),
        ({"radius": BITS}, "radius must be below the 24 bits"),
        ({"eps": ()}, "eps must be one budget"),
        ({"eps": (0.001,)}, "eps must be from 1/255"),
        ({"eps": (0.1, 0.1)}, "several different"),
        ({"goals": ("win",)}, "goals"),
        ({"fpr": 0.0}, "fpr"),
        ({"count": -1}, "count"),
        ({"steps": 0}, "steps"),
        ({"seed": -1}, "seed"),
        ({"access": "none"}, "access"),
        ({"radious": 3}, "radious"),
    ],
)
def test_options_out_of_range(pictures, options, words):
    with pytest.raises((HashprobeError, TypeError), match=words):
        hp.audit(make_victim(), pictures[:4], **options)


def test_codes_that_nobody_can_tell_apart(pictures):
    victim = make_victim()
    with pytest.raises(HashprobeError, match="of different pictures are equal"):
        hp.audit(victim, pictures[:4].repeat(2, 1, 1, 1), radius="auto")


def test_a_database_that_holds_no_query(pictures):
    """Collisions are measured, and evasion is left out with a reason."""
    victim = make_victim()
    database = victim.encode(255 - pictures[10:20])
    found = hp.audit(victim, pictures[:4], database, radius=1, eps=(32 / 255,), exact=False)
    assert found.match.value == 0 and found.goal("evade") is None
    assert found.goal("collide").queries == 4
    assert any(note.startswith("goal evade was left out") for note in found.notes)
    assert "0 % of 4 untouched queries match" in str(found)
    with pytest.raises(HashprobeError, match="nothing to evade"):
        hp.audit(victim, pictures[:4], database, radius=1, goals=("evade",))


def test_codes_of_another_length(pictures, tmp_path):
    np.save(tmp_path / "codes.npy", np.ones((5, 16), np.int8))
    with pytest.raises(HashprobeError, match="16"):
        hp.audit(make_victim(), pictures[:4], tmp_path / "codes.npy", radius=2)


def test_a_folder_that_holds_something_else(pictures, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(HashprobeError, match="something else than an audit"):
        hp.audit(make_victim(), pictures[:4], radius=2, out=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.txt"]
    run = tmp_path / "run"
    (run / "attacks").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    with pytest.raises(HashprobeError, match="something else than an audit"):
        hp.audit(make_victim(), pictures[:4], radius=2, out=run)


def test_codes_that_are_not_those_of_the_victim(folder, pictures, tmp_path):
    """Codes of the same pictures, stored with the other polarity, are found and named."""
    victim = make_victim()
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    rows = [int(name[2:4]) for name in names]
    data = ~victim.encode(pictures[rows]).packed.data
    np.savez(tmp_path / "codes.npz", codes=data, bits=BITS, ids=np.array(names))
    known = {"radius": 2, "eps": (8 / 255,), "count": 4, "exact": False, "edits": False}
    with pytest.raises(HashprobeError, match="--inverted none does"):
        hp.audit(victim, folder, tmp_path / "codes.npz", **known)
    files = hp.AuditFiles(convention=BitConvention(inverted=True))
    assert hp.audit(victim, folder, tmp_path / "codes.npz", files=files, **known).match.value == 1


def test_pictures_of_several_sizes_keep_them(tmp_path, pictures):
    pytest.importorskip("imagehash")
    for place, side in enumerate((20, 20, 31)):
        large = torch.nn.functional.interpolate(pictures[place : place + 1].float(), side)
        array = large[0].to(torch.uint8).permute(1, 2, 0).numpy()
        Image.fromarray(array).save(tmp_path / f"{place}.png")
    out = tmp_path / "out"
    found = hp.audit(
        "dhash", tmp_path, radius=5, eps=(16 / 255,), out=out, exact=False, edits=False
    )
    assert found.queries == 3 and found.goal("evade").rates[0][1].value > 0
    assert {path.name for path in out.glob("attacks/evade-16of255/*x*")} == {"20x20", "31x31"}


def test_without_sources_the_hash_finds_them(pictures):
    victim = make_victim()
    found = hp.audit(
        victim, pictures[:6], victim.encode(pictures), radius=1, eps=(8 / 255,), edits=False
    )
    assert any("nobody says which items" in note for note in found.notes)
    assert found.false_matches is None and "hash@r1" in found.match.signature
    known = hp.audit(
        victim,
        pictures[:6],
        victim.encode(pictures),
        radius=1,
        eps=(8 / 255,),
        edits=False,
        sources=Sources.of(range(6), range(30)),
    )
    assert known.false_matches is not None


def test_markup_in_names_stays_text(pictures, tmp_path):
    root = tmp_path / "pictures"
    root.mkdir()
    for place, picture in enumerate(pictures[:4]):
        name = f"<script>alert({place})</script>|.png".replace("/", "\u2215")
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(root / name)
    found = hp.audit(make_victim(), root, radius=2, eps=(16 / 255,), exact=False, edits=False)
    assert "<script" not in render_audit(found)


def test_options_by_name_or_as_one(pictures):
    with pytest.raises(HashprobeError, match="not both"):
        hp.audit(make_victim(), pictures[:4], options=AuditOptions(), radius=3)


def test_query_access_sees_answers_alone(pictures):
    """No gradient is taken, and no picture asks more than its searches."""
    victim = make_victim()

    class Blind(torch.nn.Module):
        def forward(self, images):
            assert not images.requires_grad
            return victim(images)

    found = hp.audit(
        hp.Victim(Blind(), bits=BITS, size=SIDE),
        pictures[:6],
        radius=4,
        eps=(32 / 255,),
        access="query",
        query_budget=60,
        exact=False,
        edits=False,
    )
    evade = found.goal("evade")
    assert evade.rates[0][1].value > 0
    assert evade.passes <= 6 * 60
    page = render_audit(found)
    assert "query access" in page and "Success over searches at 32/255" in page


def test_success_over_searches_is_that_of_the_attack(pictures):
    victim, budget = make_victim(), Budget(32 / 255)
    known = {"radius": 4, "access": "query", "exact": False, "edits": False}
    found = hp.audit(victim, pictures[:8], eps=(32 / 255,), query_budget=100, **known)
    codes = victim.encode(pictures[:8]).packed
    search = Search(codes, np.arange(8)[:, None], 4, "leave", 8)
    trace = nes_search(
        victim, as_queries(pictures[:8]).on("cpu"), hp.Goal(search=search), budget=budget,
        options=NesOptions(query_budget=100),
    )  # fmt: skip
    curve = dict(found.goal("evade").searches)
    assert list(curve) == [2, 5, 10, 20, 50, 100]
    for most, rate in curve.items():
        assert rate.value == pytest.approx((trace.needed <= most).mean())
    assert curve[50].value > 0 and curve[2].value < curve[100].value
    assert curve[100].value == found.goal("evade").rates[0][1].value
    assert found.to_json()["goals"][0]["searches"][5]["most"] == 100
    two = hp.audit(victim, pictures[:8], eps=(24 / 255, 32 / 255), query_budget=100, **known)
    assert two.goal("evade").searches[-1][1].value == two.goal("evade").rates[1][1].value
    white = hp.audit(victim, pictures[:3], radius=4, eps=(8 / 255,), exact=False, edits=False)
    assert not white.goal("evade").searches


def test_success_at_a_search_counts_within_as_many():
    codes = PackedCodes.empty(8)
    plan = Plan("evade", np.arange(4), hp.Goal(), met=repr, rate=repr)
    done = Ladder(plan, codes, codes={8 / 255: codes})
    done.took[:] = (2, 50, 51, np.inf)
    curve = {most: rate.value for most, rate in within_searches(done, 100)}
    assert curve == {2: 0.25, 5: 0.25, 10: 0.25, 20: 0.25, 50: 0.5, 100: 0.75}


def test_findings_of_a_perceptual_hash_and_of_distances(pictures):
    pytest.importorskip("pdqhash")
    large = torch.nn.functional.interpolate(pictures[:4].float(), 64).to(torch.uint8)
    found = hp.audit("pdq", large, eps=(8 / 255,), exact=False, edits=False, steps=5)
    assert found.radius == 31 and found.victim["agreement"] > 0.99
    assert found.quality["gate"] == 49 and 0 <= found.quality["evade"] <= 1
    assert "Dropped by the quality gate" in render_audit(found)
    asked = hp.audit(
        make_victim(), pictures, radius=1, eps=(8 / 255,), access="query", query_budget=2,
        exact=False, edits=False, count=2,
    )  # fmt: skip
    assert any("of the 24 bits of any query's code" in note for note in asked.notes)


def table_of(path, folder, groups):
    """A table that says the group of each file."""
    names = sorted(str(one.relative_to(folder)) for one in folder.rglob("*.png"))
    rows = [f"{name},{groups(place)}" for place, name in enumerate(names)]
    path.write_text("\n".join(["id,group", *rows]) + "\n")
    return hp.AuditFiles(labels=path)


@pytest.mark.parametrize("database", [None, "copies"])
def test_groups_of_a_table_come_first(folder, tmp_path, database):
    files = table_of(tmp_path / "items.csv", folder, lambda place: place // 2)
    found = hp.audit(
        make_victim(), folder, database, files=files, radius=2, eps=(8 / 255,), count=0,
        exact=False, edits=False, steps=2,
    )  # fmt: skip
    each = found.items // found.queries
    assert found.false_matches.pairs == 30 * (30 - 2) * each
    assert "src:given" in found.match.signature


def test_queries_without_a_match_count_where_the_hash_finds_the_sources(pictures):
    victim = make_victim()
    database = victim.encode(torch.cat([pictures[:1], 255 - pictures[10:20]]))
    found = hp.audit(victim, pictures[:4], database, radius=1, eps=(8 / 255,), exact=False)
    assert found.match.value == 0.25 and "25 % of 4 untouched queries" in str(found)


def test_a_password_is_in_no_output(pictures, tmp_path):
    command = "hashprobe audit --database postgresql://me:secret@host/db/t?codes=c"
    out = tmp_path / "out"
    known = {"radius": 2, "eps": (8 / 255,), "exact": False, "edits": False}
    hp.audit(make_victim(), pictures[:3], out=out, command=command, **known)
    for name in ("audit.json", "report.html", "report.md"):
        text = (out / name).read_text()
        assert "secret" not in text and "me:***@host" in text


def test_an_item_is_no_goal_of_its_own_source(pictures):
    victim = make_victim()
    sources = Sources.of([0, 0, 1, 2], [0, 0, 1, 2])
    found = hp.audit(
        victim, pictures[:4], victim.encode(pictures[:4]), sources=sources, radius=2,
        files=hp.AuditFiles(item="0"), eps=(8 / 255,), exact=False, edits=False, mitigate=True,
        steps=2,
    )  # fmt: skip
    assert found.goal("collide").queries == 2
    alone = [one for one in found.remedies if one.name != "second-hash"]
    assert {one.collision.signature for one in alone} == {
        found.goal("collide").rates[0][1].signature
    }


def test_query_access_through_remedies(pictures):
    found = hp.audit(
        make_victim(), pictures[:3], radius=2, eps=(32 / 255,), access="query", query_budget=4,
        exact=False, edits=False, mitigate=True,
    )  # fmt: skip
    assert len(found.remedies) > 4
    with pytest.raises(HashprobeError, match="--rerank is attacked by gradients"):
        hp.audit(make_victim(), pictures[:3], access="query", rerank="cosine")


def test_a_second_stage_over_pictures_of_several_sizes_and_over_a_folder(tmp_path, pictures):
    pytest.importorskip("imagehash")
    for place in range(3):
        array = pictures[place].permute(1, 2, 0).numpy().repeat(2, 0).repeat(2, 1)
        Image.fromarray(array).save(tmp_path / f"{place}.png")
    known = {"radius": 5, "eps": (32 / 255,), "rerank": "cosine", "top": 2, "steps": 3}
    known |= {"exact": False, "edits": False}
    for database in ("copies", tmp_path):
        assert "two_stage_recall" in hp.audit("dhash", tmp_path, database, **known).lists


def test_one_query_alone(pictures):
    found = hp.audit(make_victim(), pictures[:1], radius=2, eps=(8 / 255,), edits=False)
    assert found.false_matches is None and found.goal("evade").queries == 1
    assert found.goal("collide") is None


@pytest.mark.parametrize(
    ("options", "files", "words"),
    [
        ({"goals": ("enter",)}, {}, "goal enter needs --block-list"),
        ({"goals": ("show",)}, {}, "goal show needs --labels"),
        ({"goals": ("evade",)}, {"item": "1"}, "--item needs the goal collide"),
        ({"goals": ("collide",)}, {"surrogates": ("ahash",)}, "--surrogate needs the goal evade"),
        ({}, {"surrogates": ("nosuch",)}, "no victim at nosuch"),
    ],
)
def test_what_is_asked_for_is_there_or_refused(pictures, options, files, words):
    with pytest.raises(HashprobeError, match=words):
        hp.audit(make_victim(), pictures[:3], radius=2, files=hp.AuditFiles(**files), **options)


def test_codes_of_a_folder_are_made_again_for_another_network(folder, tmp_path):
    """Weights that differ by a little leave the codes of most pictures as they are."""
    known = {"radius": 2, "eps": (8 / 255,), "count": 3, "exact": False, "edits": False}
    first, second = make_victim(), make_victim()
    with torch.no_grad():
        second.network[1].weight += 3e-4 * torch.randn_like(second.network[1].weight)
    for victim in (first, second):
        hp.audit(victim, folder, folder, out=tmp_path / "out", steps=2, **known)
    assert len(list((tmp_path / "out" / "codes").glob("database-*.parts"))) == 2


def test_a_convention_is_of_stored_codes_alone(folder):
    """Codes of a folder are made here: nothing in them is inverted."""
    files = hp.AuditFiles(convention=BitConvention(inverted=True))
    known = {"radius": 2, "eps": (8 / 255,), "count": 3, "exact": False, "edits": False}
    assert hp.audit(make_victim(), folder, folder, files=files, steps=2, **known).match.value == 1


def test_clips_are_refused():
    victim = hp.Victim(torch.nn.Flatten(), bits=12, size=2, frames=4)
    with pytest.raises(HashprobeError, match="an audit is of pictures"):
        hp.audit(victim, torch.rand(2, 3, 2, 2), radius=2)


def test_encoding_of_a_folder_goes_on_where_it_was_stopped(folder, tmp_path, monkeypatch):
    """The parts of the database that were finished are not encoded again."""
    known = {"radius": 2, "eps": (8 / 255,), "count": 3, "exact": False, "edits": False, "steps": 2}
    out = tmp_path / "out"
    hp.audit(make_victim(), folder, folder, out=out, **known)
    seen = []
    monkeypatch.setattr(encode_step, "encode_parts", lambda *given: seen.append(given[2]) or [])
    hp.audit(make_victim(), folder, folder, out=out, **known)
    assert seen == [30]


def test_pictures_below_the_quality_gate_are_counted(pictures):
    """PDQ finds nothing to see in a blank picture, and enough in noise."""
    pytest.importorskip("pdqhash")
    noise = torch.nn.functional.interpolate(pictures[:2].float(), 64).to(torch.uint8)
    blank = torch.full((2, 3, 64, 64), 128, dtype=torch.uint8)
    known = {"eps": (2 / 255,), "goals": ("evade",), "exact": False, "edits": False, "steps": 2}
    found = hp.audit("pdq", torch.cat([noise, blank]), **known)
    assert found.quality["queries"] == 0.5


def test_labels_without_a_file(pictures, tmp_path):
    """Codes with labels and labels of the queries give what a table of both gives."""
    victim, known = make_victim(), {"radius": 2, "eps": (32 / 255,), "goals": ("show",)}
    known |= {"exact": False, "edits": False}
    classes, held = np.arange(20) % 2, np.arange(30) % 3
    table = tmp_path / "labels.csv"
    rows = [f"{row},{classes[row]}" for row in range(20)]
    table.write_text("id,label\n" + "\n".join(rows))
    files = hp.AuditFiles(labels=table)
    want = hp.audit(victim, pictures[:20], files=files, **known).labels
    queries = hp.Queries(pictures[:20], labels=as_labels(classes))
    found = hp.audit(victim, queries, **known).labels
    assert found.achieved.value == want.achieved.value
    copies = hp.audit(victim, queries, "copies", **known).labels
    assert copies.achieved.value > copies.floor.value
    database = victim.encode(pictures, labels=held)
    found = hp.audit(victim, queries, database, count=4, **known)
    assert found.queries == 4 and found.labels.achieved.value > found.labels.floor.value
    with pytest.raises(HashprobeError, match="labels of all queries and items in Queries and the"):
        hp.audit(victim, queries, victim.encode(pictures), **known)


def test_a_label_that_is_named_is_that_of_all_queries(pictures, tmp_path):
    table, names = tmp_path / "labels.csv", ("cat", "dog", "eel")
    rows = [f"{row},{names[row % 3 if row < 26 else 0]}" for row in range(28)]
    table.write_text("id,label\n" + "\n".join(rows))
    known = {"radius": 2, "eps": (32 / 255,), "goals": ("show",), "exact": False, "edits": False}
    for name, queries in (("eel", 20), ("cat", 17)):
        files = hp.AuditFiles(labels=table, label=name)
        found = hp.audit(make_victim(), pictures[:28], files=files, **known).labels
        assert len(found.achieved.per_query) == queries
        assert found.achieved.value > found.floor.value
    with pytest.raises(HashprobeError, match="no label is called 'dgo': did you mean dog"):
        files = hp.AuditFiles(labels=table, label="dgo")
        hp.audit(make_victim(), pictures[:28], files=files, **known)
    table.write_text("id,label\n0,cat\n1,dog\n")
    with pytest.raises(HashprobeError, match="goal show needs labels of all queries and items"):
        files = hp.AuditFiles(labels=table, label="dog")
        hp.audit(make_victim(), pictures[:28], files=files, **known | {"goals": None})
    with pytest.raises(HashprobeError, match="--show-label needs --labels"):
        hp.audit(make_victim(), pictures[:28], files=hp.AuditFiles(label="dog"))


class Lines(Silent):
    """Keeps what is logged."""

    def __init__(self):
        self.lines = []

    def log(self, text):
        self.lines.append(text)


@pytest.mark.parametrize(
    ("known", "times"),
    [
        ({}, 1),
        ({"goals": ("evade",)}, 0.5),
        ({"eps": (1 / 255, 2 / 255)}, 2),
        ({"eps": (32 / 255,), "exact": True}, 1 + 5),
        ({"surrogates": ("ahash", "dhash")}, 1 + 2 * 0.5),
        ({"rerank": "cosine"}, 3),
        ({"mitigate": True}, 1 + 12 + 4 + 2),
        ({"mitigate": True, "goals": ("evade",)}, 0.5 + 12 + 4 + 2),
        ({"access": "query", "mitigate": True, "query_budget": 50}, 1 + 15 + 4),
    ],
)
def test_expected_time_counts_what_is_asked_for(known, times, pictures, monkeypatch):
    """Every attack takes 100 s a query here: the sum is said before the first one starts."""
    monkeypatch.setattr(audit_time, "attack_seconds", lambda *_: 100.0 * audit_time.TIMED)
    monkeypatch.setattr(audit_time, "timed", lambda *_: 2.0 * audit_time.TIMED)
    said = Lines()
    known = {"eps": (8 / 255,), "steps": 1, "exact": False, "edits": False, **known}
    if "surrogates" in known:
        pytest.importorskip("imagehash")
    known["files"] = hp.AuditFiles(surrogates=known.pop("surrogates", ()))
    hp.audit(make_victim(), pictures[:2], radius=2, runtime=hp.Runtime(progress=said), **known)
    want = in_words(100.0 * 2 * 2 * times)
    assert f"attacking takes about {want} here" in said.lines


def test_match_behind_a_remedy_is_measured_where_the_hash_finds_sources(pictures):
    """The database is codes of other names: what matches is looked up anew for each radius."""
    victim = make_victim()
    stored = Codes.of(victim.encode(pictures[:8]).packed)
    known = {"radius": 6, "eps": (8 / 255,), "exact": False, "edits": False, "steps": 2}
    found = hp.audit(victim, pictures[:8], stored, mitigate=True, **known)
    assert found.match.value == 1
    blurred = defended(victim, "blur").codes(pictures[:8])
    near = np.diagonal(hamming(blurred, stored.packed))
    shares = {one.name: one.match.value for one in found.remedies}
    assert shares["blur"] == pytest.approx((near <= 6).mean()) and shares["blur"] < 1


def test_equal_ids_without_a_group_are_one_picture(folder, tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("id,group\nelsewhere.png,1\n")
    known = {"radius": 2, "eps": (8 / 255,), "goals": ("evade",), "exact": False, "edits": False}
    files = hp.AuditFiles(labels=table)
    found = hp.audit(make_victim(), folder, folder, files=files, count=4, steps=2, **known)
    assert found.match.value == 1 and found.false_match.value == 0
    assert any("4 of 4 queries have no row in" in note for note in found.notes)
    assert any("30 of 30 items have no row" in note for note in found.notes)
    assert "note: 4 of 4 queries" in str(found)


def test_the_strongest_adversary_counts(done):
    own = done[0].goal("evade")

    def reaching(share, by):
        return replace(own, by=by, rates=tuple((e, replace(r, value=share)) for e, r in own.rates))

    alone = replace(done[0], goals=(reaching(0.1, ""),))
    both = replace(done[0], goals=(reaching(0.1, ""), reaching(0.9, "other")))
    limit = Limit("evasion", 4, 0.5)
    assert not alone.exceeded([limit]) and both.exceeded([limit])
    assert "crafted on other" not in headline(alone) and "crafted on other" in headline(both)


def test_the_best_remedy_leaves_most_matching(done):
    result = done[0]
    rate = result.goal("evade").rates[-1]

    def remedy(title, match, evasion):
        numbers = [replace(rate[1], value=value) for value in (match, evasion)]
        return RemedyResult(title, title, numbers[0], None, rate[0], numbers[1], None)

    few, many = remedy("few", 0.1, 0.0), remedy("many", 0.9, 0.2)
    text = best_remedy(replace(result, remedies=(few, many)))
    assert text.startswith("Of the remedies, many helps most: 72 % of all queries still match")
    assert best_remedy(replace(result, remedies=(remedy("none", 1.0, 1.0),))).startswith(
        "No remedy"
    )
    assert best_remedy(result) is None


@pytest.mark.parametrize(
    ("known", "files", "said"),
    [
        ({"access": "query", "goals": ("show",)}, {}, "goal show is attacked by gradients"),
        ({"access": "query"}, {"label": "cat"}, "goal show is attacked by gradients"),
        ({"mitigate": True, "goals": ("show",)}, {}, "by the goals evade and collide: add one"),
        ({"access": "query", "distances": False}, {}, "a list of 10 ids holds all 5 items"),
    ],
)
def test_what_cannot_be_done_is_refused(known, files, said, pictures, tmp_path):
    table = tmp_path / "labels.csv"
    rows = [f"{row},{('dog', 'cat')[row % 2]}" for row in range(5)]
    table.write_text("id,label\n" + "\n".join(rows))
    files = hp.AuditFiles(labels=table, **files)
    with pytest.raises(HashprobeError, match=said):
        hp.audit(make_victim(), pictures[:5], radius=2, files=files, **known)


def test_rare_labels_have_few_voters(pictures, tmp_path):
    queries = hp.Queries(pictures[:6], labels=as_labels(np.arange(6) % 2))
    found = hp.audit(
        make_victim(), queries, radius=2, eps=(32 / 255,), goals=("show",), exact=False, edits=False
    )
    assert found.labels.achieved.value > found.labels.floor.value


def test_the_record_says_what_was_asked(pictures, tmp_path):
    known = {"radius": 2, "eps": (8 / 255,), "exact": False, "edits": False, "steps": 1}
    files = hp.AuditFiles(item="1", convention=BitConvention(inverted=True))
    record = hp.audit(make_victim(), pictures[:3], files=files, **known).to_json()["options"]
    assert record["item"] == "1" and record["convention"]["inverted"] is True
    assert record["steps"] == 1 and "surrogates" not in record
    address = hp.AuditFiles(block_list="postgresql://me:secret@host/db/t").to_json()
    assert "secret" not in str(address)


def test_pictures_of_another_size_are_fitted(pictures):
    victim = make_victim()
    large = torch.nn.functional.interpolate(pictures[:4].float(), 2 * SIDE).to(torch.uint8)
    codes = Codes(victim.encode(pictures[:4]).packed, pictures=large)
    found = hp.audit(
        victim, pictures[:4], codes, radius=4, eps=(8 / 255,), rerank="cosine", top=2, steps=1,
        exact=False, edits=False,
    )  # fmt: skip
    signed = {name: one.signature for name, one in found.lists.items()}
    assert len(set(signed.values())) == len(signed)
    assert signed["two_stage_hit_joint"].startswith("two-stage-hit:cosine:x4:joint@2|src:chosen")
    assert signed["recall"].startswith("recall@2|")


def test_lists_of_the_whole_database_say_nothing(pictures):
    found = hp.audit(
        make_victim(), pictures[:4], radius=4, eps=(8 / 255,), steps=1, exact=False, edits=False
    )
    assert not found.lists and any("holds all 4 items" in note for note in found.notes)
