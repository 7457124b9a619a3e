"""What holds for the whole project: directions, names, docstrings, speed, versions."""

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

import hashprobe
from hashprobe.attacks.registry import ATTACKS
from hashprobe.cli.app import COMMANDS


ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "hashprobe"
FILES = sorted(SOURCE.rglob("*.py"))
PACKAGES = sorted(path.parent for path in SOURCE.rglob("__init__.py"))

HEAVY = ("torch", "numba", "torchvision", "sklearn", "lightning_fabric", "matplotlib", "faiss")
"""What takes seconds to import."""
ANSWER_SECONDS = 0.7
"""Processor seconds in which help and mistakes of typing are answered."""

# A module imports only from those of a lower number, and from its own package.
LAYERS = {
    "errors": 0,
    "text": 0,
    "progress": 1,
    "checked": 1,
    "types": 2,
    "tensors": 2,
    "storage": 3,
    "data": 4,
    "codes": 5,
    "victims": 6,
    "training": 7,
    "optim": 8,
    "attacks": 9,
    "defenses": 10,
    "crafting": 11,
    "evaluation": 12,
    "report": 13,
    "workflow": 14,
    "paper": 15,
    "cli": 16,
}
# What a part must not import at all, whatever its layer allows.
REFUSED = {
    "errors": {"torch", "numpy", "faiss"},
    "text": {"torch", "numpy", "faiss"},
    "progress": {"torch", "numpy", "faiss"},
    "checked": {"torch", "faiss"},
    "types": {"torch", "faiss"},
    "storage": {"torch", "faiss"},
    "evaluation": {"torch", "faiss", "hashprobe.tensors", "hashprobe.victims", "hashprobe.attacks"},
    "report": {"torch", "faiss", "hashprobe.tensors", "hashprobe.victims", "hashprobe.attacks"},
}


def part_of(path):
    """The package or top-level module that a file belongs to; hashprobe's own is empty."""
    first = path.relative_to(SOURCE).parts[0]
    return "" if first in ("__init__.py", "__main__.py") else first.removesuffix(".py")


def imports(tree, module, *, top_level_only=False):
    """The absolute names that a module imports, wherever the statement stands."""
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *filter(None, [node.module])])
            if base == "hashprobe":
                yield from (f"hashprobe.{alias.name}" for alias in node.names)
            else:
                yield base


def module_name(path):
    parts = ["hashprobe", *path.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts)


def wrong_imports(source, path):
    """What a file imports against the rules, as sentences."""
    part, module = part_of(path), module_name(path)
    wrong = []
    for name in imports(ast.parse(source), module):
        outside = name.split(".")[0]
        refused = REFUSED.get(part, set())
        if outside in refused or any((name + ".").startswith(r + ".") for r in refused):
            wrong.append(f"{module} imports {name}, which {part} must not know")
        if outside != "hashprobe" or name == "hashprobe":
            continue
        target = name.split(".")[1]
        if part == "" or target == part:
            continue
        assert target in LAYERS, f"give {target} a place in LAYERS"
        if LAYERS[target] >= LAYERS[part]:
            wrong.append(f"{module} imports {name}, which is not to its left")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_one_way(path):
    assert part_of(path) in {"", *LAYERS}, f"give {part_of(path)} a place in LAYERS"
    assert wrong_imports(path.read_text(), path) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("data/split.py", "from hashprobe.training import train"),
        ("data/split.py", "def f():\n    import hashprobe.cli"),
        ("errors.py", "from hashprobe import types"),
        ("types.py", "from hashprobe.tensors import Images"),
        ("victims/base.py", "from ..optim import Session"),
        ("evaluation/measures.py", "import torch.nn"),
        ("evaluation/measures.py", "from hashprobe.attacks import craft"),
        ("report/page.py", "from hashprobe import workflow"),
    ],
)
def test_a_wrong_import_would_be_seen(path, source):
    assert wrong_imports(source, SOURCE / path)


def test_codes_import_torch_only_where_it_is_used():
    for path in sorted((SOURCE / "codes").glob("*.py")):
        found = imports(ast.parse(path.read_text()), module_name(path), top_level_only=True)
        assert not [name for name in found if name.split(".")[0] == "torch"], path


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda p: str(p.relative_to(SOURCE.parent)))
def test_a_package_exports_what_its_stub_says(folder):
    name = ".".join(folder.relative_to(SOURCE.parent).parts)
    package, stub = importlib.import_module(name), folder / "__init__.pyi"
    exported = list(getattr(package, "__all__", []))
    for public in exported:
        assert hasattr(package, public), f"{name}.{public} cannot be imported"
    if not stub.exists():
        return
    named = [
        alias
        for node in ast.parse(stub.read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert all(alias.asname == alias.name for alias in named), "write `import x as x`"
    assert sorted({alias.name for alias in named}) == sorted(exported)
    assert len(named) == len(exported), "a name is exported twice"


def test_no_two_files_share_a_name():
    """Faces of packages, registries and what several kinds of one thing share have one job each."""
    same_job = {"__init__", "__main__", "registry", "base"}
    names = [path.stem for path in FILES if path.stem not in same_job]
    # A command is named after what it does; the work itself is done elsewhere.
    assert sorted({name for name in names if names.count(name) > 1}) == []


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda p: str(p.relative_to(SOURCE.parent)))
def test_public_names_are_documented_with_an_example(folder):
    package = importlib.import_module(".".join(folder.relative_to(SOURCE.parent).parts))
    poor = []
    for name in getattr(package, "__all__", []):
        thing = getattr(package, name)
        if not inspect.isclass(thing) and not inspect.isfunction(thing):
            continue
        if not thing.__module__.startswith("hashprobe"):
            continue  # an alias of somebody else's type
        text = thing.__doc__ or ""
        # Protocols have nothing to run: the classes that keep them have examples.
        wanted = () if getattr(thing, "_is_protocol", False) else ("Example:", ">>> ")
        poor += [name] if not text.strip() or any(word not in text for word in wanted) else []
    assert poor == [], "no docstring, or no Example that runs"


def run(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "names",
    [
        "hashprobe.evaluation, hashprobe.codes",
        "hashprobe.report",
        "hashprobe.storage.runs, hashprobe.storage.files",
        "hashprobe.cli",
        "hashprobe.attacks.registry, hashprobe.data.datasets.registry, hashprobe.training.options",
        "hashprobe.workflow.protocol, hashprobe.workflow.network",
        "hashprobe.data.edits, hashprobe.victims.perceptual.registry",
        "hashprobe.defenses.preprocessors.registry, hashprobe.defenses.trainers.registry",
    ],
)
def test_light_parts_import_no_torch(names):
    code = f"import sys, {names}; print([m for m in {HEAVY} if m in sys.modules])"
    assert run(code).strip() == "[]"


def test_hashprobe_itself_is_imported_at_once():
    code = """
import sys, time
before = time.process_time()
import hashprobe
print(time.process_time() - before, "numpy" in sys.modules, "torch" in sys.modules)
"""
    said = [run(code).split() for _ in range(3)]
    assert {(numpy, torch) for _, numpy, torch in said} == {("False", "False")}
    assert min(float(seconds) for seconds, _, _ in said) < 0.1


COMMAND = """
import sys, time
from hashprobe.cli import main
code = 0
try:
    main(sys.argv[1:])
except SystemExit as end:
    code = end.code or 0
loaded = [m for m in %r if m in sys.modules]
print("\\n" + repr((code, loaded, time.process_time())))
"""


def answer(line):
    """Exit code, heavy modules and processor seconds of a command, with what it printed."""
    command = [sys.executable, "-c", COMMAND % (HEAVY,), *line.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    printed, _, last = done.stdout.rstrip("\n").rpartition("\n")
    return *ast.literal_eval(last), printed + done.stderr


def check_quick(line):
    """Asserts that a command answers at once and loads nothing heavy; what it answered."""
    for _ in range(3):
        code, loaded, seconds, said = answer(line)
        assert loaded == []
        # Processor time, and the least of it: what else runs on the machine only ever adds.
        if seconds < ANSWER_SECONDS:
            return code, said
    pytest.fail(f"hashprobe {line} took {seconds:.2f} s")


HELPS = ["", *COMMANDS, *(f"attack {name}" for name in ATTACKS)]


@pytest.mark.parametrize("command", HELPS, ids=lambda name: name or "hashprobe")
def test_help_answers_at_once_and_without_torch(command):
    code, said = check_quick(f"{command} --help")
    assert code == 0
    assert f"Usage: hashprobe {command}".rstrip() in said


def test_the_version_answers_at_once_and_without_torch():
    assert check_quick("--version") == (0, f"{hashprobe.__version__}\n")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("tain digits", 'Did you mean "train"?'),
        ("attack dtha RUN", 'Did you mean "dhta"?'),
        ("attack dhta", "RUN"),
        ("train digits --ot x", "--out"),
    ],
)
def test_wrong_commands_answer_at_once_and_without_torch(line, named):
    code, said = check_quick(line)
    assert code == 2
    assert named in said


# How many parameters a function may have


def exported():
    """Every (module, name) that an `__init__.pyi` exports."""
    found = set()
    for stub in SOURCE.rglob("__init__.pyi"):
        package = module_name(stub).removesuffix(".__init__")
        for node in ast.parse(stub.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
                module = f"{base}.{node.module}" if node.level else node.module
                found |= {(module, alias.name) for alias in node.names}
    return found


def functions(tree, owner=""):
    """Every function and method with the names that it stands in."""
    for node in ast.iter_child_nodes(tree):
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        name = f"{owner}.{node.name}".lstrip(".") if named else owner
        if named and not isinstance(node, ast.ClassDef):
            yield name, node, isinstance(tree, ast.ClassDef)
        yield from functions(node, name)


def width(node, method):
    """Parameters of a function; self and cls do not count, * and ** count as one each."""
    given = node.args
    count = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
    return count + bool(given.vararg) + bool(given.kwarg) - (method and not static)


def too_wide(source, module, public):
    """Functions with more than ten parameters, or more than six if they are not exported."""
    for name, node, method in functions(ast.parse(source)):
        # The commands are public, too: their parameters are arguments of the command line.
        open_ = (module, name.split(".")[0]) in public or module.startswith("hashprobe.cli.")
        if width(node, method) > (10 if open_ else 6):
            yield f"{module}:{name} has {width(node, method)} parameters"


def test_nouns_end_long_parameter_lists():
    public = exported()
    assert ("hashprobe.attacks._dhta", "dhta") in public
    wide = [
        line for path in FILES for line in too_wide(path.read_text(), module_name(path), public)
    ]
    assert wide == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f(a, b, c, d, e, f): ...", 0),
        ("def f(a, b, /, c, *d, e, f, **g): ...", 1),
        ("class A:\n    def f(self, a, b, c, d, e, f): ...", 0),
        ("class A:\n    def f(self, a, b, c, d, e, f, g): ...", 1),
        ("class A:\n    @staticmethod\n    def f(a, b, c, d, e, f, g): ...", 1),
        ("def open_(a, b, c, d, e, f, g, h, i, j): ...", 0),
        ("def open_(a, b, c, d, e, f, g, h, i, j, k): ...", 1),
        ("def f():\n    def g(a, b, c, d, e, f, g): ...", 1),
    ],
)
def test_a_long_parameter_list_would_be_seen(source, found):
    public = {("hashprobe.optim.box", "open_")}
    assert len(list(too_wide(source, "hashprobe.optim.box", public))) == found


def test_one_version_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    heads = re.findall(r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = [head for head in heads if head != "Unreleased"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert released[0] == version == hashprobe.__version__
    assert re.search(rf"^version: {re.escape(version)}$", citation, re.MULTILINE)


def test_the_page_template_and_the_type_marker_are_in_the_package():
    package = resources.files("hashprobe")
    assert package.joinpath("py.typed").is_file()
    assert package.joinpath("report", "report.html.jinja").is_file()
    assert package.joinpath("report", "style.css").is_file()
    assert package.joinpath("paper", "results_page.html.jinja").is_file()
    assert package.joinpath("paper", "datasets.yaml").is_file()
    assert package.joinpath("paper", "recipes", "table1.yaml").is_file()


def test_the_ci_script_can_be_run():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "set -euo pipefail" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"])
def test_the_papers_of_the_house_are_there(name):
    assert len((ROOT / name).read_text()) > 500
