"""The public door: attack a victim and evaluate the result, from arrays."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePath
from typing import Any

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import DEFAULT, AttackSpec, attack_named
from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes, labels_of
from hashprobe.codes.labels import as_labels
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.runner import craft
from hashprobe.data.arrays import as_queries
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.outcome import AttackCodes, Evaluation
from hashprobe.evaluation.perceptibility import compare_twins
from hashprobe.evaluation.relevance import check_labelled
from hashprobe.evaluation.scoring import evaluate_attack
from hashprobe.text import nearest
from hashprobe.types import Budget, Runtime
from hashprobe.victims.base import Hasher
from hashprobe.victims.wrap import as_victim
from hashprobe.workflow.quick_report import write_quick_report
from hashprobe.workflow.results import RESULT


@checked
def attack(
    victim: Any,
    queries: Any,
    goal: Goal | None = None,
    attack: str | Callable[..., Any] = DEFAULT,
    *,
    eps: float | Budget = 8 / 255,
    options: Any = None,
    seed: int = 0,
    runtime: Runtime = Runtime(),
    out: str | Path | None = None,
    **keywords: Any,
) -> AttackResult:
    """Attacks queries and says what a search engine would be sent.

    Args:
        victim: a `Victim`, or any torch module from pixels in [0, 1] to (Q, K) logits; left as it
            was, on the device where it is.
        queries: (Q, 3, H, W) images, uint8 or floating in [0, 1] (rounded to 8 bits, as pictures
            are stored): an array, a tensor, a list of pictures, or `Queries`.
        goal: target codes, from `targets`; untargeted attacks do without.
        attack: a name, see `hashprobe.attacks.ATTACKS`, or a function of one's own.
        eps: how far a pixel may move, in [0, 1] units; or a `Budget`.
        options: the attack's options as one value, in place of keywords.
        seed: 0 or above; decides on what is random.
        runtime: precision of gradients, batch size, who is told.
        out: folder to keep finished queries in, and to resume from; none keeps them in memory.
        keywords: the attack's options, such as `steps=2000`.

    Returns:
        Adversarial queries as floats and in 8 bits, with their codes.

    Raises:
        HashprobeError: whatever does not fit; the message says what was seen and what to do.

    Example:
        >>> import torch
        >>> from hashprobe.victims import Victim
        >>> generator = torch.manual_seed(0)
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 12))
        >>> victim, images = Victim(net, bits=12, size=8), torch.rand(40, 3, 8, 8)
        >>> database = victim.encode(images[4:], labels=[0, 1] * 18)
        >>> from hashprobe.attacks.targets import targets
        >>> goal = targets(database, avoid=[0, 1, 0, 1])
        >>> attacked = attack(victim, images[:4], goal, "dhta", eps=0.1, steps=20)
        >>> attacked.codes.bits, len(attacked)
        (12, 4)
    """
    asked = as_queries(queries)
    if options is not None and keywords:
        raise HashprobeError("give options= or single options as keywords, not both")
    if keywords:
        options = options_of(attack, keywords)
    budget = eps if isinstance(eps, Budget) else Budget(eps)
    spec = AttackSpec.of(attack, options, budget=budget, seed=seed)
    goal = Goal.untargeted() if goal is None else goal
    if goal.images is not None and "target images" not in spec.attack.needs:
        goal = replace(goal, images=None)
    hasher = as_victim(victim, asked.pixels)
    if "generator" in spec.attack.needs and goal.generator is None:
        goal = with_generator(hasher, goal, spec, runtime)
    if goal.known is not None:  # pictures of a database are not sent to workers
        goal = replace(goal, known=Codes(goal.known.packed, goal.known.labels))
    return craft(
        hasher,
        asked,
        goal,
        spec,
        runtime=runtime,
        out=None if out is None else Path(out),
    )


def with_generator(victim: Hasher, goal: Goal, spec: AttackSpec, runtime: Runtime) -> Goal:
    """The goal with a generator that is trained on the database that it knows."""
    from hashprobe.attacks.generator_training import train_generator

    if goal.known is None:
        raise HashprobeError(
            f"attack {spec.name} trains a generator on a database with labels and pictures: make a "
            "goal by targets(database, avoid=labels)"
        )
    given = {"budget": spec.budget, "options": spec.options, "seed": spec.seed}
    return replace(goal, generator=train_generator(victim, goal.known, runtime=runtime, **given))


def options_of(attack: str | Callable[..., Any], keywords: dict[str, Any]) -> Any:
    """The options of an attack from keywords."""
    if not isinstance(attack, str):
        raise HashprobeError(
            f"{', '.join(keywords)}: an attack that is not registered takes options=, one value"
        )
    kind = attack_named(attack).options
    known = [field.name for field in fields(kind)]
    for name in keywords:
        if name not in known:
            close = nearest(name, known)
            hint = f"did you mean {close}?" if close else f"it has {', '.join(known) or 'none'}"
            raise HashprobeError(f"attack {attack} has no option {name}: {hint}")
    return kind(**keywords)


@dataclass(frozen=True, eq=False)
class Outcome(Evaluation):
    """An evaluation that knows what it is of, so that it can be saved and shown whole.

    Example:
        >>> Outcome().attacked is None
        True
    """

    attacked: AttackResult | None = None
    """The attacked queries."""
    database: Codes | None = None
    """What was searched."""

    def save(self, path: str | PurePath) -> None:
        """Writes the attacked queries and the evaluation into a folder.

        Args:
            path: a folder, new or empty; it gets `attack.json`, `evaluation.json`, arrays and
                pictures.

        Raises:
            HashprobeError: the folder holds something, or cannot be written.
        """
        assert self.attacked is not None
        super().save(self.attacked.save(Path(path)) / RESULT)

    def report(self, path: str | Path, **more: Any) -> Path:
        """Writes one HTML page that needs nothing beside it: table, curves and pictures.

        Pictures of what the queries retrieve are shown if the database knows its pictures, as those
        of `Victim.encode` do.

        Args:
            path: the page.
            more: `title`, `label_names` and `examples`, the number of queries shown.

        Returns:
            The path.

        Raises:
            HashprobeError: the clean queries are not known, or the disk refuses.
        """
        attacked, database = self.attacked, self.database
        assert attacked is not None and database is not None
        if attacked.clean is None or attacked.spec is None:
            raise HashprobeError(
                "a result that was read from a folder does not know its clean queries: report on "
                "what attack() returned"
            )
        write_quick_report(
            path,
            evaluation=self,
            queries=Codes(attacked.clean_codes, attacked.own_labels, attacked.clean.pixels),
            attacked=Codes(attacked.codes, attacked.target_labels, attacked.images8[:]),
            database=database,
            spec=attacked.spec,
            lengths=attacked.clean.lengths,
            **more,
        )
        return Path(path)


@checked
def evaluate(
    attacked: AttackResult, database: Codes, *, labels: Any = None, **options: Any
) -> Outcome:
    """Measures how far an attack moved the results of a search.

    Args:
        attacked: what `attack` returned.
        database: what is searched, from `Victim.encode`, with labels.
        labels: (Q,) or (Q, C) labels of the queries themselves, for MAP before and after; by
            default those that the goal knows.
        options: `top`, `normaliser`, `ties`, `empty` of the measures; see `MeasureOptions`.

    Returns:
        t-MAP with floor, ceiling, lift and intervals, MAP before and after, perceptibility; print
        it, or take `.to_json()`, `.save(folder)`, `.report(path)`.

    Raises:
        HashprobeError: a database without labels, labels that do not fit, an unknown option.

    Example:
        >>> import torch
        >>> from hashprobe.victims import Victim
        >>> generator = torch.manual_seed(0)
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 12))
        >>> victim, images = Victim(net, bits=12, size=8), torch.rand(40, 3, 8, 8)
        >>> database = victim.encode(images[4:], labels=[0, 1] * 18)
        >>> from hashprobe.attacks.targets import targets
        >>> goal = targets(database, avoid=[0, 1, 0, 1])
        >>> done = evaluate(attack(victim, images[:4], goal, eps=0.2), database)
        >>> done.achieved.value >= done.floor.value
        True
    """
    if not isinstance(attacked, AttackResult):
        seen = type(attacked).__name__
        raise HashprobeError(f"evaluate measures what attack() returned; got {seen}")
    known_labels = labels_of(database)
    known = {field.name for field in fields(MeasureOptions)}
    for name in options:
        if name not in known:
            raise HashprobeError(
                f"evaluate has no option {name}: choose from {', '.join(sorted(known))}"
            )
    own = attacked.own_labels
    if labels is not None:
        own = as_labels(labels, known_labels.shape[1])
    if own is not None:
        check_labelled(own, "labels")
    codes = attacked.target_codes
    result = evaluate_attack(
        AttackCodes(
            query=attacked.clean_codes,
            attacked=attacked.codes,
            target=None if codes is None else PackedCodes.from_logits(codes),
            attacked_float=attacked.codes_float,
        ),
        database,
        query_labels=own,
        target_labels=attacked.target_labels,
        options=MeasureOptions(**options),
        **how_visible(attacked),
    )
    parts = {field.name: getattr(result, field.name) for field in fields(result)}
    return Outcome(**parts, attacked=replace(attacked, own_labels=own), database=database)


def how_visible(attacked: AttackResult) -> dict[str, Any]:
    """How visible an attack is, where its clean queries are known."""
    clean = attacked.clean
    if clean is None:
        return {}
    lengths = None if clean.lengths is None else clean.lengths.numpy()
    twins = (attacked.images8, attacked.images)
    names = ("perceptibility", "perceptibility_float")
    return dict(zip(names, compare_twins(clean.pixels, twins, lengths), strict=True))
