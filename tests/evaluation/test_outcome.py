import json

import numpy as np
import pytest

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Bootstrap
from hashprobe.evaluation.outcome import AfterCodec, Evaluation
from hashprobe.evaluation.perceptibility import Perceptibility
from hashprobe.storage.files import read_json


@pytest.mark.parametrize("name", ["attacked", "query"])
def test_as_many_codes_after_a_codec_as_queries_are_needed(attack, name, evaluate):
    codes = {"attacked": attack["attacked"], "query": attack["query"]}
    codes[name] = codes[name][:7]
    with pytest.raises(HashprobeError, match=f"7 {name} codec codes for 20 query codes"):
        evaluate(attack, after_codec=AfterCodec("h264-crf23", **codes))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("empty", ["zero", "skip"])
def test_it_comes_back_from_json(attack, whole, empty, evaluate, flipped):
    extra = {}
    if whole:
        extra = {
            "attacked_float": attack["target"],
            "after_codec": AfterCodec("h264-crf1", attack["target"], attack["query"]),
            "perceptibility": Perceptibility(0.01, 8.0, 40.0, 0.97),
            "perceptibility_float": Perceptibility(0.0, 0.0, np.inf, 1.0),
        }
    if empty == "skip":
        attack["query"] = flipped(attack["database"], 0.0)[np.arange(20)]
        extra["top"] = 1
    done = evaluate(attack, **extra, empty=empty, bootstrap=Bootstrap(confidence=0.9))
    text = json.dumps(done.to_json(), allow_nan=False)
    again = Evaluation.from_json(json.loads(text))
    assert again.to_json() == done.to_json()
    assert again.perceptibility_float == done.perceptibility_float
    assert (again.achieved_float is None) is not whole
    assert (again.map_codec is None) is not whole
    assert again.lift.confidence == 0.9
    np.testing.assert_array_equal(again.floor.per_query, done.floor.per_query)
    assert (again.achieved - again.achieved).value == 0


@pytest.mark.parametrize("record", [{}, {"floor": {"signature": "x"}}, {"floor": 3}, {"other": {}}])
def test_other_json_is_refused(record):
    with pytest.raises(HashprobeError, match="not an evaluation of an attack") as caught:
        Evaluation.from_json(record)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["target", "attacked", "attacked_float"])
def test_as_many_codes_as_queries_are_needed(attack, name, evaluate):
    attack[name] = attack["attacked"][:7]
    with pytest.raises(HashprobeError, match=r"7 .* codes for 20 query codes"):
        evaluate(attack)


@pytest.mark.parametrize("part", ["floor", "map_clean", "wrong"])
def test_a_record_that_lost_a_part_is_refused(attack, part, evaluate):
    record = evaluate(attack).to_json()
    del record[part]
    with pytest.raises(HashprobeError, match=f"it lacks {part}"):
        Evaluation.from_json(record)


def test_it_prints_what_is_known(attack, evaluate):
    seen = Perceptibility(0.01, 8.0, 40.0, 0.97)
    done = evaluate(attack, top=50, attacked_float=attack["target"], perceptibility=seen)
    lines = {line[:30].strip(): line[31:] for line in str(done).splitlines()}
    assert lines == {
        "t-MAP after 8 bits": str(done.achieved),
        "t-MAP before rounding": str(done.achieved_float),
        "t-MAP clean (floor)": str(done.floor),
        "t-MAP target codes (ceiling)": str(done.ceiling),
        "lift": str(done.lift),
        "MAP clean": str(done.map_clean),
        "MAP attacked": str(done.map_attacked),
        "bits wrong clean": str(done.wrong_clean),
        "bits wrong attacked": str(done.wrong),
        "perceptibility": "RMSE 1.00e-02, largest change 8/255, PSNR 40.0 dB, SSIM 0.9700",
        "signature": done.achieved.signature,
    }
    del attack["target"], attack["target_labels"]
    untargeted = evaluate(attack, after_codec=AfterCodec("x", attack["attacked"], attack["query"]))
    assert [line[:30].strip() for line in str(untargeted).splitlines()] == [
        "MAP clean",
        "MAP attacked",
        "MAP clean after the codec",
        "signature",
        "signature after the codec",
    ]


def test_it_is_saved_whole(attack, tmp_path, evaluate):
    done = evaluate(attack)
    done.save(tmp_path / "run" / "evaluation.json")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["evaluation.json"]
    again = Evaluation.from_json(read_json(tmp_path / "run" / "evaluation.json"))
    assert again.to_json() == done.to_json()
    with pytest.raises(HashprobeError, match="run"):
        done.save(tmp_path / "run")
