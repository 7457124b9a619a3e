"""Commands that print a record for programs, and nothing else."""

import json


def test_attack_prints_what_its_file_holds(hashprobe, encoded):
    said = hashprobe(f"attack noise {encoded} --queries 3 --name x --json")
    assert said.code == 0
    record = json.loads(said.out)
    assert record == json.loads((encoded / "attacks" / "x" / "evaluation.json").read_text())
    assert len(record["achieved"]["per_query"]) == 3 and said.out.count("\n") == 1
    assert "noise at" in said.err


def test_encode_prints_the_measurement_that_it_shows(hashprobe, encoded):
    shown, said = hashprobe(f"encode {encoded}"), hashprobe(f"encode {encoded} --json")
    record = json.loads(said.out)["map"]
    assert set(record) == {"value", "low", "high", "signature"}
    assert shown.out.split()[1] == f"{record['value']:.3f}"
    assert shown.out.split()[-1] == record["signature"]


def test_train_prints_its_epochs_also_of_a_training_that_is_finished(hashprobe, tmp_path):
    words = f"train digits --size 8 --bits 8 --epochs 2 --batch-size 125 --out {tmp_path / 'r'}"
    first, again = (json.loads(hashprobe(f"{words} --json").out) for _ in range(2))
    assert first == again
    assert first["run"] == str(tmp_path / "r")
    assert [epoch["number"] for epoch in first["epochs"]] == [1, 2]
    assert set(first["epochs"][0]) == {
        "number", "epochs", "loss", "lr", "seconds", "held_out_map", "whole",
    }  # fmt: skip
