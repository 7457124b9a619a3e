"""Numbers from arrays: measures with signatures, perceptibility, the record of an attack."""

from hashprobe.evaluation.codefile import CodeFile, load_code_file, score_codes
from hashprobe.evaluation.curves import (
    PrecisionRecall,
    precision_at,
    precision_curve,
    precision_recall_curve,
    precision_within_radius,
    recall_curve,
)
from hashprobe.evaluation.evaluate import AfterCodec, Evaluation, evaluate_attack, wrong_bits
from hashprobe.evaluation.labels import as_labels
from hashprobe.evaluation.measurement import Bootstrap, Curve, Measurement, paired_difference
from hashprobe.evaluation.measures import (
    mean_average_precision,
    targeted_mean_average_precision,
)
from hashprobe.evaluation.perceptibility import Perceptibility, compare_pixels
from hashprobe.evaluation.ranking import Empty, Normaliser, Ranking, Ties


__all__ = [
    "AfterCodec",
    "Bootstrap",
    "CodeFile",
    "Curve",
    "Empty",
    "Evaluation",
    "Measurement",
    "Normaliser",
    "Perceptibility",
    "PrecisionRecall",
    "Ranking",
    "Ties",
    "as_labels",
    "compare_pixels",
    "evaluate_attack",
    "load_code_file",
    "mean_average_precision",
    "paired_difference",
    "precision_at",
    "precision_curve",
    "precision_recall_curve",
    "precision_within_radius",
    "recall_curve",
    "score_codes",
    "targeted_mean_average_precision",
    "wrong_bits",
]
