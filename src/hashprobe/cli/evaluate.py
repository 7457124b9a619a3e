"""hashprobe evaluate"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from hashprobe.cli.cluster import ClusterFlags
from hashprobe.cli.flags import FLAT, Flag, Json, print_json
from hashprobe.cli.garbage import loaded
from hashprobe.cli.output import say
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.ranking import Empty, Normaliser, Ties


if TYPE_CHECKING:
    from hashprobe.evaluation.measurement import Measurement


def evaluate(
    file: Path,
    /,
    *,
    top: int | None = None,
    normaliser: Normaliser = "hits",
    ties: Ties | None = None,
    empty: Empty = "zero",
    exclude_voters: Flag = False,
    exclude_training: Flag = False,
    cluster: Annotated[ClusterFlags, FLAT] = ClusterFlags(),
    json_: Json = False,
) -> None:
    """Score codes from an .npz file or a folder: MAP, precision and, with targets, t-MAP.

    The file holds database_codes and query_codes, (N, K) in -1/+1, 0/1 or bool, or packed uint8
    with a scalar bits; database_labels and query_labels, (N,) or (N, 1) integers, or (N, C)
    multi-hot; and, for t-MAP, target_labels, one for each query. It may hold voters, (Q, M)
    database positions or -1, and training, (N,) bool.

    A folder is for databases beyond the memory. It holds queries.npz, with query_codes,
    query_labels, optionally target_labels, and bits, and files NAME.codes.npy, packed uint8, and
    NAME.labels.npy, in the order of their names.

    Parameters
    ----------
    file
        The .npz file or the folder.
    top
        List length T; by default the whole database.
    normaliser
        What AP is divided by: hits in the list (the field's), min(R, T), or relevant (R).
    ties
        Order at equal distance; by default stable with hits, expected with the others.
    empty
        How a query without a hit is counted: as zero, not at all (skip), or as an error.
    exclude_voters
        Leave out, for each query, the database items whose codes voted for its target code.
    exclude_training
        Leave out the database items that the network was trained on.
    json_
        Print one JSON object and nothing else.
    """
    given: dict[str, Any] = {"top": top, "normaliser": normaliser, "ties": ties, "empty": empty}
    without: dict[str, Any] = {}
    without |= {"exclude_voters": exclude_voters, "exclude_training": exclude_training}
    if file.is_dir():
        scores = of_folder(file, given, without, cluster.cluster())
    else:
        from hashprobe.evaluation.codefile import load_code_file, score_codes

        loaded()
        scores = score_codes(load_code_file(file), **given, **without)
    if json_:
        print_json({name: score.to_json() for name, score in scores.items()})
        return
    titles = {"map": "MAP", "precision": "precision", "tmap": "t-MAP"}
    for name, score in scores.items():
        say(f"{titles[name]:10} {score}  {score.signature}")


def of_folder(
    folder: Path, given: dict[str, Any], without: dict[str, Any], executor: Any
) -> "dict[str, Measurement]":
    """Scores of a folder of shards."""
    from hashprobe.crafting.executor import InProcess
    from hashprobe.evaluation.code_shards import CodeShards
    from hashprobe.evaluation.measure_options import MeasureOptions
    from hashprobe.evaluation.sharded import score_shards

    loaded()
    for name, asked in without.items():
        if asked:
            option = f"--{name.replace('_', '-')}"
            raise HashprobeError(f"{option} is for .npz files: {folder} is a folder")
    options = MeasureOptions(**given)
    return score_shards(CodeShards.open(folder), options, executor=executor or InProcess())
