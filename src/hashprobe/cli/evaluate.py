"""hashprobe evaluate"""

from pathlib import Path

from hashprobe.cli.flags import Flag, Json, print_json
from hashprobe.cli.output import say
from hashprobe.evaluation.ranking import Empty, Normaliser, Ties


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
    json_: Json = False,
) -> None:
    """Score codes from an .npz file: MAP, precision and, with targets, t-MAP.

    The file holds database_codes and query_codes, (N, K) in -1/+1, 0/1 or bool, or packed uint8
    with a scalar bits; database_labels and query_labels, (N,) or (N, 1) integers, or (N, C)
    multi-hot; and, for t-MAP, target_labels, one for each query. It may hold voters, (Q, M)
    database positions or -1, and training, (N,) bool.

    Parameters
    ----------
    file
        The .npz file.
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
    from hashprobe.evaluation.codefile import load_code_file, score_codes

    scores = score_codes(
        load_code_file(file),
        top=top,
        normaliser=normaliser,
        ties=ties,
        empty=empty,
        exclude_voters=exclude_voters,
        exclude_training=exclude_training,
    )
    if json_:
        print_json({name: score.to_json() for name, score in scores.items()})
        return
    titles = {"map": "MAP", "precision": "precision", "tmap": "t-MAP"}
    for name, score in scores.items():
        say(f"{titles[name]:10} {score}  {score.signature}")
