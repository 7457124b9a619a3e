"""Computes the golden outputs of some attacks anew, after a change that is meant to change them.

    python tests/golden/renew.py bit-margin

The outputs of all other attacks stay as they are. On a processor with AVX-512, the environment
ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 gives the kernels of the others. Raise the version
of the attack, and name the change in CHANGELOG.md.
"""

import sys
from itertools import accumulate
from pathlib import Path

import numpy as np


sys.path.insert(0, str(Path(__file__).parents[1]))

from golden.test_golden import CASES, HERE, STORED, computed, shape_of
from golden.victims import same_kernels


def renew(attacks):
    """Replaces what is stored of the cases of some attacks."""
    with np.load(HERE / "attacks.npz") as file:
        flat = dict(file)
    made = {case.key: computed(case) for case in CASES if case.attack in attacks}
    for kind in STORED:
        cases = [case for case in CASES if shape_of(case, kind) is not None]
        sizes = [int(np.prod(shape_of(case, kind))) for case in cases]
        parts = np.split(flat[kind], list(accumulate(sizes)))[:-1]
        for place, case in enumerate(cases):
            if case.key in made:
                parts[place] = made[case.key][kind].astype(flat[kind].dtype).ravel()
        flat[kind] = np.concatenate(parts)
    np.savez_compressed(HERE / "attacks.npz", **flat)
    return len(made)


if __name__ == "__main__":
    if not same_kernels():
        raise SystemExit("this processor rounds otherwise than the one of the golden outputs")
    print(f"computed {renew(sys.argv[1:])} cases anew")
