import subprocess
import sys

import numpy as np
import pytest

from hashprobe.codes.index.flat import FlatIndex, load_faiss
from hashprobe.codes.packed import PackedCodes


def random_codes(n, bits, seed=0):
    return PackedCodes.from_signs(np.random.default_rng(seed).random((n, bits)) < 0.5)


@pytest.mark.parametrize("bits", [12, 16])
def test_buckets_and_a_sort_give_the_same_answer(monkeypatch, bits):
    index = FlatIndex(bits)
    index.add(random_codes(300, bits))
    queries, answers = random_codes(9, bits, seed=1), []
    for limit in (0, (bits + 1) * 250 * 8):
        monkeypatch.setattr("hashprobe.codes.index.flat.BUCKET_BYTES", limit)
        answers.append(index.search(queries, 250))
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("bits", [1, 12, 16, 65])
def test_the_codes_come_back_out(bits):
    codes = random_codes(20, bits)
    index = FlatIndex(bits)
    index.add(codes[:15])
    index.add(codes[15:])
    assert index.codes() == codes


def test_faiss_has_one_thread_on_macos(monkeypatch):
    threads = load_faiss().omp_get_max_threads()
    try:
        monkeypatch.setattr(sys, "platform", "darwin")
        assert load_faiss().omp_get_max_threads() == 1
    finally:
        load_faiss().omp_set_num_threads(threads)


def test_faiss_is_not_imported_before_an_index_is_made():
    code = "import sys; from hashprobe.codes import FlatIndex; print('faiss' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
