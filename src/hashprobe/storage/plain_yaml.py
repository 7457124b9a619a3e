"""Plain YAML without surprises: no key twice, no file that grows when it is read."""

from typing import Any

from hashprobe.errors import HashprobeError


MAX_VALUES = 20_000
"""Keys and values of one file at most; an alias counts as often as it is used."""
MAX_BYTES = 1 << 20
"""Bytes of one file at most."""


def parse_yaml(data: bytes, name: str) -> Any:
    """The value in a YAML file; nothing is constructed but mappings, lists, texts and numbers.

    Args:
        data: the content of the file.
        name: what errors call it.

    Returns:
        The value; None for an empty file.

    Raises:
        HashprobeError: not plain YAML, a key twice in one mapping (`step-size` and `step_size` are
            the same key), or more than a megabyte or 20,000 values.

    Example:
        >>> parse_yaml(b"train: {bits: 8}", "a.yaml")
        {'train': {'bits': 8}}
        >>> parse_yaml(b"bits: 8\\nbits: 16", "a.yaml")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: a.yaml has the key 'bits' twice, in lines 1 and 2
    """
    import yaml  # type: ignore[import-untyped]

    if len(data) > MAX_BYTES:
        raise HashprobeError(f"{name} has more than {MAX_BYTES:,} bytes")
    try:
        loader = yaml.SafeLoader(data)
        root = loader.get_single_node()
        if root is None:
            return None
        count(root, name, {})
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = error.problem or error.context
        raise HashprobeError(f"{name} is not plain YAML{where}: {what}") from error
    except (yaml.YAMLError, ValueError, OverflowError, TypeError) as error:
        if isinstance(error, HashprobeError):
            raise
        raise HashprobeError(f"{name} is not plain YAML: {error}") from error
    except RecursionError as error:
        raise HashprobeError(f"{name} is nested too deeply") from error


def count(node: Any, name: str, known: dict[int, int]) -> int:
    """The number of values below a node, aliases written out; refuses a key that stands twice.

    `known` holds the numbers of the nodes so far; 0 marks those that are not finished.
    """
    import yaml

    if id(node) in known:
        if not known[id(node)]:
            raise HashprobeError(f"{name}, line {node.start_mark.line + 1}: a value in itself")
        return known[id(node)]
    known[id(node)] = 0
    total = 1
    if isinstance(node, yaml.MappingNode):
        refuse_twins(node, name)
        for key, value in node.value:
            total += count(key, name, known) + count(value, name, known)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(count(item, name, known) for item in node.value)
    if total > MAX_VALUES:
        raise HashprobeError(f"{name} holds more than {MAX_VALUES:,} values, aliases written out")
    known[id(node)] = total
    return total


def refuse_twins(node: Any, name: str) -> None:
    """Refuses a mapping in which two keys are the same option."""
    import yaml

    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        # The key << takes over another mapping; it may stand more than once.
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            continue
        line = key.start_mark.line + 1
        option = (key.tag, key.value.replace("-", "_"))
        if option in lines:
            raise HashprobeError(
                f"{name} has the key {key.value!r:.80} twice, in lines {lines[option]} and {line}"
            )
        lines[option] = line
