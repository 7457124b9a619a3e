"""Judges what an attack returns: an attack never decides that it won."""

import numpy as np

from hashprobe.attacks.goal import Goal
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.query_files import QueryRecord
from hashprobe.data.queries import Queries
from hashprobe.optim.box import project, round_to_bytes
from hashprobe.tensors import Images
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher
from hashprobe.victims.encoding import encode, encode_both
from hashprobe.victims.passes import attend
from hashprobe.victims.seen import recall


LEVEL_SLACK = 1e-6
"""How far pixels in [0, 1] may be from grey levels in float32 and still count as rounded."""


def judge(
    victim: Hasher, queries8: Queries, moved: Images, goal: Goal, budget: Budget
) -> list[QueryRecord]:
    """Projects onto the budget, rounds to 8 bits, and encodes again in float32 by the hard sign.

    Args:
        victim: left as it was.
        queries8: the clean queries, uint8.
        moved: what the attack returned for them, on the device of the victim.
        goal: their target labels and codes, which are kept with the result; clean queries whose own
            codes it has are not encoded again.
        budget: how far a pixel may move.

    Returns:
        What is known of each query; passes and time are left to the runner.

    Raises:
        HashprobeError: pixels or logits that are not numbers.
    """
    device, contract = moved.device, victim.contract
    lengths = None if queries8.lengths is None else queries8.lengths.to(device)
    clean8 = queries8.pixels.to(device)
    clean = Queries(clean8.float() / 255, queries8.ids, lengths)
    adversarial = project(moved.to(clean.pixels), clean.pixels, budget, contract, lengths)
    adversarial8 = round_to_bytes(adversarial, clean8, budget, contract, lengths)
    with attend([]):
        shown = adversarial8.float() / 255
        clean_code, code = codes_of_both(victim, clean, shown, goal.own_codes)
        # An attack that rounds by itself leaves nothing to round.
        if (adversarial - shown).abs().amax() <= LEVEL_SLACK:
            adversarial, code_float = shown, code
        else:
            code_float = encode(victim, Queries(adversarial, queries8.ids, lengths))
    labels, codes = goal.labels, goal.codes
    pixels = zip(adversarial.cpu().numpy(), adversarial8.cpu().numpy(), strict=True)
    return [
        QueryRecord(
            target_label=np.zeros(0, bool) if labels is None else labels[i],
            target_code=np.zeros(0, np.int8) if codes is None else codes[i],
            image=image,
            image8=image8,
            code_float=code_float.data[i],
            code=code.data[i],
            clean_code=clean_code.data[i],
            forwards=0,
            backwards=0,
            seconds=0.0,
            length=0 if lengths is None else int(lengths[i]),
        )
        for i, (image, image8) in enumerate(pixels)
    ]


def codes_of_both(
    victim: Hasher, clean: Queries, shown: Images, known: PackedCodes | None
) -> tuple[PackedCodes, PackedCodes]:
    """Codes of queries and of what became of them; of images, none that is known already."""
    if clean.clips:
        return encode_both(victim, clean, shown)
    before = encode(victim, clean) if known is None else known
    # What an attack has confirmed are signs of logits; a victim may have codes of another kind.
    signs = type(victim).codes is Hasher.codes
    found = recall(victim, shown) if signs else [None] * len(shown)
    after = np.zeros_like(before.data)
    left = [row for row, code in enumerate(found) if code is None]
    for row, code in enumerate(found):
        if code is not None:
            after[row] = code
    if left:
        after[left] = encode(victim, Queries(shown[left])).data
    return before, PackedCodes(after, before.bits)
