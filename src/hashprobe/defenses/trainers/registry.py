"""Every training against attacks by its name; imports no torch."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args, get_type_hints

from hashprobe.checked import Late, checked, shown
from hashprobe.defenses.by_name import check_options, class_named, made_named
from hashprobe.errors import HashprobeError


_HERE = "hashprobe.defenses.trainers"

if TYPE_CHECKING:
    from hashprobe.defenses.trainers.base import Trainer as Trainer
else:
    Trainer = Annotated[Any, Late(f"{_HERE}.base", "Trainer")]

TRAINERS: Mapping[str, str] = MappingProxyType(
    {
        "p2s": f"{_HERE}._p2s:P2s",
        "atrdh": f"{_HERE}._atrdh:Atrdh",
        "cgat": f"{_HERE}._cgat_training:Cgat",
        "saat": f"{_HERE}._saat:Saat",
        "trades": f"{_HERE}._trades:Trades",
        "fast": f"{_HERE}._fast:Fast",
        "free": f"{_HERE}._free:Free",
        "crdat": f"{_HERE}._crdat:Crdat",
        "label-free": f"{_HERE}._label_free:LabelFree",
    }
)
"""Every training against attacks by name: `module:class`, imported when it is used."""

if TYPE_CHECKING:
    TrainerName: TypeAlias = str
else:
    TrainerName = Literal[tuple(TRAINERS)]  # the command line lists the choices

WORDS = {"true": True, "yes": True, "false": False, "no": False}


def trainer_class(name: str) -> type[Any]:
    """The class of a training against attacks.

    Raises:
        HashprobeError: an unknown name.

    Example:
        >>> trainer_class("p2s").name
        'p2s'
    """
    return class_named("defence", TRAINERS, name)


@checked
def trainer_named(name: str, **options: Any) -> Trainer:
    """The training against attacks of a name, with its options.

    Args:
        name: a name from `TRAINERS`.
        options: fields of its class; by default as documented there.

    Raises:
        HashprobeError: an unknown name or option, or a value that is out of range.

    Example:
        >>> trainer_named("p2s", n_t=5).n_t
        5
    """
    made: Trainer = made_named("defence", TRAINERS, name, options)
    return made


def trainer_of_words(name: str, words: Sequence[str] = ()) -> Trainer:
    """The same from words such as `n_t=5` and `eps=8/255`, as a command line has them.

    Args:
        name: a name from `TRAINERS`.
        words: options, each `NAME=VALUE`.

    Raises:
        HashprobeError: no `=`, an option that is given twice, or as `trainer_named`.

    Example:
        >>> trainer_of_words("p2s", ["n_t=all", "eps=4/255"]).n_t
        'all'
    """
    made = trainer_class(name)
    kinds = get_type_hints(made)
    options: dict[str, Any] = {}
    for word in words:
        option, there, text = word.partition("=")
        option = option.strip().replace("-", "_")
        if not there:
            raise HashprobeError(
                f"an option of a defence is NAME=VALUE, such as eps=8/255; got {shown(word)}"
            )
        check_options(name, made, [option])
        if option in made.unused:
            raise made.without_effect(option)
        if option in options:
            raise HashprobeError(f"option {option} of {name} is given twice")
        options[option] = value_of(name, option, text.strip(), kinds[option])
    return trainer_named(name, **options)


def value_of(name: str, option: str, text: str, hint: Any) -> Any:
    """The value of an option in words, by the type of its field."""
    kinds = get_args(hint) if not isinstance(hint, type) else (hint,)
    choices = [choice for kind in kinds for choice in get_args(kind)]
    choices += [kind for kind in kinds if isinstance(kind, str)]
    if text in choices:
        return text
    if text.lower() == "none" and type(None) in kinds:
        return None
    if bool in kinds and text.lower() in WORDS:
        return WORDS[text.lower()]
    for kind in (int, float):
        if kind in kinds:
            try:
                top, _, bottom = text.partition("/")
                return float(top) / float(bottom) if kind is float and bottom else kind(text)
            except (ValueError, ZeroDivisionError):
                continue
    types = [kind for kind in kinds if kind is not type(None) and not isinstance(kind, str)]
    wanted = [getattr(kind, "__name__", str(kind)) for kind in types]
    wanted = [
        {"int": "a whole number", "float": "a number such as 8/255"}.get(w, w) for w in wanted
    ]
    wanted = ["true or false" if w == "bool" else w for w in wanted if "Literal" not in w] + choices
    raise HashprobeError(f"{name}: {option} must be {' or '.join(wanted)}; got {shown(text)}")
