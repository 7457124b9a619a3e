"""The audit that needs nothing: PDQ on crops of bundled photographs, with edited copies."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from hashprobe.types import Runtime
from hashprobe.victims.loading import load_victim
from hashprobe.workflow._audit import audit
from hashprobe.workflow.audit_options import AuditOptions
from hashprobe.workflow.audit_result import AuditResult
from hashprobe.workflow.audit_subject import COPIES


SIDE, STRIDE = 128, 96
"""Pixels of a crop's side, and from one crop to the next."""


def photo_crops() -> list[UInt8[np.ndarray, "h w 3"]]:
    """Crops of the two photographs that scikit-learn brings, 427 x 640 each."""
    from sklearn.datasets import load_sample_images

    crops = []
    for picture in load_sample_images().images:
        height, width = picture.shape[:2]
        for top in range(0, height - SIDE + 1, STRIDE):
            for left in range(0, width - SIDE + 1, STRIDE):
                crops.append(np.ascontiguousarray(picture[top : top + SIDE, left : left + SIDE]))
    return crops


def demo_audit(
    out: Path | None, count: int = 0, runtime: Runtime = Runtime(), command: str = ""
) -> AuditResult:
    """Audits PDQ: are crops of photographs found among edited copies, before and after attacks?

    Args:
        out: where results go; None keeps nothing.
        count: most queries; 0 takes all 48.
        runtime: who is told.
        command: how a user runs it again.

    Raises:
        HashprobeError: the extra `perceptual` is missing, or the folder holds something else.
    """
    victim = load_victim("pdq")
    crops = [torch.from_numpy(crop).permute(2, 0, 1).contiguous() for crop in photo_crops()]
    options = AuditOptions(count=count)
    return audit(victim, crops, COPIES, options=options, out=out, runtime=runtime, command=command)
