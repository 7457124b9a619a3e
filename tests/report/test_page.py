"""The page as a document: whole, safe, complete without anything else, and small."""

import base64
import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from hashprobe.errors import HashprobeError
from hashprobe.report.columns import columns_of
from hashprobe.report.content import AttackRow, Curve, Example, ReportData, Retrieved
from hashprobe.report.page import render, write_report


SNAPSHOT = Path(__file__).with_name("page.txt")
VOID = {"meta", "img", "br", "hr", "link", "input"}
HOSTILE = "\"><script>alert(1)</script><img src=x onerror='a'>&amp;]]>{{ 7 * 7 }}"


class Reader(HTMLParser):
    """Keeps the open tags, the attributes and the text; a wrong closing tag fails."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        assert len(dict(attrs)) == len(attrs), f"an attribute of {tag} comes twice"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open, f"{tag} closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, text):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text.append(text)


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    assert len(set(reader.ids)) == len(reader.ids)
    return reader


def words(page):
    return " ".join(" ".join(read(page).text).split())


def test_the_page_is_well_formed_and_needs_nothing_else(data):
    page = render(data)
    reader = read(page)
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", page)
    addresses = [
        value
        for _, attributes in reader.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert addresses
    assert all(a.startswith(("data:image/png;base64,", "data:image/jpeg;", "#")) for a in addresses)
    policy = [a["content"] for tag, a in reader.tags if tag == "meta" and "http-equiv" in a]
    assert policy[0].startswith("default-src 'none'; img-src data:")


def test_the_policy_of_a_page_allows_its_own_style_and_script_and_no_others(data):
    for shown in (data, replace(data, title=HOSTILE), replace(data, examples=())):
        page = render(shown)
        tags = read(page).tags
        (policy,) = (a["content"] for tag, a in tags if a.get("http-equiv"))
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert "unsafe" not in policy
        assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
        for kind in ("style", "script"):
            own = re.findall(f"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
            assert len(own) == (kind == "style" or bool(shown.examples))
            digests = [base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in own]
            allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
            assert rules[f"{kind}-src"] == allowed
        for _, attributes in tags:
            assert "style" not in attributes
            assert not any(name.startswith("on") for name in attributes)


def test_equal_data_give_equal_bytes(data, tmp_path):
    size = write_report(data, tmp_path / "a.html")
    write_report(data, tmp_path / "b.html")
    first = (tmp_path / "a.html").read_bytes()
    assert first == (tmp_path / "b.html").read_bytes()
    assert len(first) == size


def test_another_process_with_another_hash_seed_gives_equal_bytes():
    code = (
        "import hashlib, numpy as np; from hashprobe.report import *;"
        "c = (Curve('a', [0, 1], [1, 0.5]),);"
        "g = np.full((3, 8, 8), 9, np.uint8);"
        "e = Example('1', ('x',), ('y',), g, g, (), ());"
        "d = ReportData('t', pr_curves=c, precision_curves=c, examples=(e,));"
        "print(hashlib.sha256(render(d).encode()).hexdigest())"
    )
    command = [sys.executable, "-c", code]
    made = [
        subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
        for environment in ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo"})
    ]
    assert made[0] == made[1]


def test_the_words_of_the_page(data):
    """One snapshot of all that the page says; other tests do not ask for words."""
    lines = [line.strip() for line in "".join(read(render(data)).text).splitlines()]
    seen = "\n".join(line for line in lines if line) + "\n"
    assert seen == SNAPSHOT.read_text("utf-8")


def test_a_signature_is_spelled_out_once(data):
    text = words(render(data))
    assert text.count("tMAP@1000|norm:hits") == 1
    assert "None" not in text and " nan" not in text.lower()


def test_the_level_of_the_intervals_is_that_of_the_data(data):
    assert "90 %" in words(render(replace(data, confidence=0.9)))
    assert "90 %" not in words(render(data))


def test_right_and_wrong_are_told_by_sign_and_by_colour(data):
    page = render(replace(data, examples=data.examples[:1]))
    assert page.count('<li class="is-own">') == 3  # two before, the one with both labels after
    assert page.count('<li class="is-target">') == 3
    assert page.count('<li class="is-other">') == 1
    text = words(page)
    for counts in ("✓ 2 ", "◎ 0 ", "✓ 1 ", "◎ 4 ", "✗ 12 bits other", "◎ 1 bit dog"):
        assert counts in text


def test_results_without_labels_are_neither_right_nor_wrong(data):
    bare = replace(data.examples[0], labels=(), targets=())
    page = render(replace(data, examples=(bare,)))
    assert "is-own" not in page.split("</style>")[1] and "✗" not in words(page)
    text = words(render(replace(data, examples=(replace(bare, labels=("cat",)),))))
    assert "✓ cat" in text and "◎" not in text.split("Examples")[1].split("✗ 12 bits")[0][:400]


def test_pictures_have_words_and_small_ones_keep_hard_pixels(data):
    images = [attributes for tag, attributes in read(render(data)).tags if tag == "img"]
    assert len(images) == 2 * (3 + 3 + 4)
    assert all(image["alt"] for image in images)
    small, large = images[:10], images[10:]
    assert all(image.get("class") == "crisp" and "png" in image["src"][:20] for image in small)
    assert all("class" not in image and "jpeg" in image["src"][:20] for image in large)


def test_tables_have_headings(data):
    page = render(data)
    heads = [attributes["scope"] for tag, attributes in read(page).tags if tag == "th"]
    assert heads.count("row") >= len(data.rows)
    assert heads.count("col") == 2 + len(columns_of(data.rows, "page"))
    plain = page.count('<table class="plain"')
    assert page.count('<div class="scroll"') == plain == page.count("<table") - 1


def test_a_narrow_window_shows_each_cell_beside_its_heading(data):
    """The heads are hidden there, so that every cell brings its own."""
    cells = [a for tag, a in read(render(data)).tags if tag == "td" and "data-title" in a]
    columns = columns_of(data.rows, "page")
    assert [a["data-title"] for a in cells] == [c.title for c in columns] * len(data.rows)


def test_hostile_names_stay_text(data, make_example):
    hostile = make_example(HOSTILE, 8, own=HOSTILE, target=HOSTILE)
    row = replace(data.rows[-1], name=HOSTILE, budget=HOSTILE)
    number = replace(row.tmap, signature=HOSTILE)
    curve = Curve(HOSTILE + r" $\frac{", [0.0, 1.0], [1.0, 0.5])
    page = render(
        replace(
            data,
            title=HOSTILE,
            facts=((HOSTILE, HOSTILE),),
            findings=(HOSTILE,),
            rows=(replace(row, tmap=number),),
            pr_curves=(curve,),
            precision_curves=(curve, replace(curve, label="_hidden 字 \x01")),
            examples=(hostile,),
            choice=HOSTILE,
            commands=(HOSTILE,),
            environment=((HOSTILE, HOSTILE),),
            notes=(HOSTILE,),
            version=HOSTILE,
            created=HOSTILE,
        )
    )
    plain = render(data)
    reader = read(page)
    assert page.count("<script") == plain.count("<script") == 1
    assert not any("onerror" in attributes for _, attributes in reader.tags)
    assert "{{ 7 * 7 }}" in words(page)
    assert "_hidden 字" in words(page)
    assert "\x01" not in page


@pytest.fixture(scope="module")
def full_size(data):
    """Characters of the page with all of its parts."""
    return len(render(data))


@pytest.mark.parametrize(
    "part",
    ["facts", "rows", "pr_curves", "precision_curves", "examples", "commands", "environment",
     "notes", "bits", "clean", "findings", "version", "created", "choice"],
)  # fmt: skip
def test_any_part_may_be_missing(data, full_size, part):
    empty = ReportData("x")
    page = render(replace(data, **{part: getattr(empty, part)}))
    alone = words(render(replace(empty, **{part: getattr(data, part)})))
    assert "None" not in words(page) + alone
    assert len(page) < full_size or part == "bits"


def test_an_empty_report_and_a_row_without_numbers(number):
    assert "<table" not in render(ReportData("x"))
    page = render(ReportData("x", rows=(AttackRow("DHTA", "attack", "8/255"),)))
    assert "<td" not in page and "DHTA 8/255" in words(page)
    infinite = AttackRow("DHTA", "attack", "8/255", tmap=number(0.5, None), psnr=float("inf"))
    assert "∞" in words(render(ReportData("x", rows=(infinite,))))


def test_an_untargeted_attack_has_no_scale_and_no_empty_columns(number):
    rows = (
        AttackRow("Original", "untouched", own_map=number(0.8)),
        AttackRow("HAG", "attack", "8/255", own_map=number(0.1), rmse=0.02),
    )
    page = render(ReportData("x", rows=rows))
    assert '<td class="scale"' not in page and "t-MAP, 8 bits" not in page
    assert "None" not in words(page)


def test_no_findings_differs_from_no_checks(data):
    pages = [render(replace(data, findings=found)) for found in (None, (), ("one",))]
    assert ["Checks of the data" in page for page in pages] == [False, True, True]
    assert len(set(pages)) == 3


def test_numbers_that_cannot_be_shown_are_refused(number):
    with pytest.raises(HashprobeError, match="tmap of DHTA is NaN"):
        AttackRow("DHTA", "attack", tmap=number(float("nan"), None))
    with pytest.raises(HashprobeError, match="rmse of DHTA is NaN"):
        AttackRow("DHTA", "attack", rmse=float("nan"))
    with pytest.raises(HashprobeError, match="'a' holds a number that is not finite"):
        Curve("a", [0.0, np.inf], [1.0, 1.0])
    with pytest.raises(HashprobeError, match="as many x as y; got 2 and 1"):
        Curve("a", [0.0, 1.0], [1.0])
    with pytest.raises(HashprobeError, match="as many x as y; got 0 and 0"):
        Curve("a", [], [])


def test_twelve_photographs_mail_well(data):
    rng = np.random.default_rng(0)
    photo = load_sample_image("flower.jpg").transpose(2, 0, 1)

    def piece(side):
        top, left = rng.integers(0, 427 - side), rng.integers(0, 640 - side)
        return photo[:, top : top + side, left : left + side]

    def results():
        return tuple(Retrieved(piece(224), ("x",), 1, own=True, target=False) for _ in range(10))

    examples = []
    for query in range(12):
        image = piece(224).astype(np.int16)
        noise = rng.integers(-8, 9, image.shape, dtype=np.int16)
        twin = np.clip(image + noise, 0, 255).astype(np.uint8)
        pair = (image.astype(np.uint8), twin)
        examples.append(Example(str(query), ("x",), ("y",), *pair, results(), results()))
    size = len(render(replace(data, examples=tuple(examples))))
    assert 1_000_000 < size < 5_000_000


def test_eight_clips_of_photographs_mail_well(data):
    rng = np.random.default_rng(0)
    photo = load_sample_image("flower.jpg").transpose(2, 0, 1)

    def clip(frames):
        top, left = rng.integers(0, 427 - 128 - 20), rng.integers(0, 640 - 128 - 20)
        return np.stack(
            [photo[:, top + 2 * i :, left + 2 * i :][:, :128, :128] for i in range(frames)]
        )

    def results():
        return tuple(Retrieved(clip(3), ("x",), 1, own=True, target=False) for _ in range(10))

    examples = []
    for query in range(8):
        image = clip(7)
        noise = rng.integers(-8, 9, image.shape, dtype=np.int16)
        twin = np.clip(image + noise, 0, 255).astype(np.uint8)
        shown = tuple(range(3, 22, 3))
        lists = results(), results()
        examples.append(Example(str(query), ("x",), ("y",), image, twin, *lists, frames=shown))
    page = render(replace(data, examples=tuple(examples)))
    assert 1_000_000 < len(page) < 3_000_000
    assert "112 pixels" in words(page)
