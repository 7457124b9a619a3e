"""The options of a training and what they refuse."""

import pytest

from hashprobe.errors import HashprobeError
from hashprobe.training.options import TrainOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"devices": 0}, "devices must be at least 1"),
        ({"lr": -0.1}, "lr must not be negative or infinite; got -0.1"),
        ({"lr": float("nan")}, "lr must not be negative or infinite; got nan"),
        ({"lr": float("inf")}, "lr must not be negative or infinite; got inf"),
        ({"seed": -1}, "seed must be a whole number from 0 to 2\\^63 - 1; got -1"),
        ({"seed": 2**70}, "seed must be a whole number from 0"),
        ({"momentum": -1}, "momentum must not be negative"),
        ({"held_out": -1}, "held_out must be at least 0"),
        ({"held_out": 10**23}, "held_out must be at most 2,147,483,647"),
        ({"epochs": 10**23}, "epochs must be at most 2,147,483,647; got 1000"),
        ({"epochs": 10**5000}, "epochs must be at most .*; got a number of 16610 bits"),
        ({"epochs": 2.5}, "epochs must be a whole number; got 2.5"),
        ({"batch_size": 10**10}, "batch_size must be at most"),
        ({"devices": 1025}, "devices must be at most 1,024; got 1025"),
        ({"minutes": 0}, "minutes must be above 0; got 0"),
        (
            {"loss": "dsh"},
            "loss must be one of csq, dph, .*, greedyhash, hashnet, orthohash; got 'dsh'",
        ),
        ({"optimiser": "adam"}, "optimiser must be one of sgd, adamw; got 'adam'"),
        ({"schedule": "linear"}, "schedule must be one of constant, step, cosine, one-cycle"),
        ({"backbone_lr": -1.0}, "backbone_lr must not be negative"),
        ({"pair_weights": "all"}, "pair_weights must be one of warm-up, none"),
        ({"augment": "flip"}, "augment must be one of none, crop, crop-flip"),
        ({"precision": "float16"}, "precision must be one of float32, bfloat16"),
    ],
)
def test_options_out_of_range_are_refused(as_for_users, options, message):
    with pytest.raises(HashprobeError, match=message):
        TrainOptions(**options)
