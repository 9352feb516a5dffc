"""The architecture, checked against the source, the dvc.yaml files and params.yaml."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workspace import ROOT, read_params, run

STAGES: dict[str, Any] = {
    f"{path.parent.name}:{name}": stage
    for path in sorted(ROOT.glob("stages/*/dvc.yaml"))
    for name, stage in yaml.safe_load(path.read_text())["stages"].items()
}
MAINS = {
    name: ROOT / (stage["cmd"].split()[2].replace(".", "/") + ".py")
    for name, stage in STAGES.items()
}
PROGRAMS = set(MAINS.values())
LIBRARY = sorted((ROOT / "handwriting").rglob("*.py"))
SCRIPTS = sorted((ROOT / "stages").glob("*/*.py"))
PRODUCT = [*LIBRARY, ROOT / "stages/__init__.py", *SCRIPTS, *sorted(ROOT.glob("tools/*.py"))]
BENCH = sorted(ROOT.glob("bench/*.py"))
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
# What a package may import. A module of handwriting/ itself is a package of its own here; what
# the others may, the page says.
BELOW = {
    "images": "core, preprocessing",
    "torch_networks": "core, data, training, characters",
    "onnx_export": "data, training",
    "classifier": "core, data, preprocessing, training, images, torch_networks",
    "sources": "core, raw, preprocessing, images",
    "own_data": "core, raw, data, preprocessing",
    "labelled": "core, images, sources",
    "labels": "core, data, preprocessing, noise, images, classifier",
    "labels_report": "core, noise, labels",
    "labels_command": "core, labelled, labels, labels_report",
    "cli": "core, preprocessing, classifier, images, sources, own_data, labels_command",
    "__main__": "cli",
    "__init__": "core, classifier, labels",
    **dict(re.findall(r"(?m)^\| `(\w+)` \| .* \| (.*) \|$", ARCHITECTURE)),
}
EVALUATE = "mnistTask3:evaluate-mnistTask3"
# The words that were replaced, where they have few other meanings: one regular expression a line.
RETIRED = re.compile("|".join((ROOT / "tests/retired_words.txt").read_text().splitlines()))
TEXT = (".py", ".md", ".yaml", ".yml", ".html", ".js", ".css", ".toml", "Makefile")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imported(path: Path) -> frozenset[str]:
    """The modules that a file imports, by their dotted names; not what only a type checker sees."""
    names, hidden = set(), set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            hidden |= set(ast.walk(node))
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node not in hidden:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def tops(path: Path) -> set[str]:
    """The same without what follows a dot."""
    return {name.partition(".")[0] for name in imported(path)}


def ours(path: Path) -> set[Path]:
    """The files of the project that a file imports. handwriting/__init__.py decides no result."""
    candidates = {ROOT / (name.replace(".", "/") + ".py") for name in imported(path)}
    return {candidate for candidate in candidates if candidate.exists()}


def closure(path: Path) -> set[Path]:
    """A file and all of the project that it imports, directly or not."""
    found, waiting = set(), {path}
    while waiting:
        found.add(next_one := waiting.pop())
        waiting |= ours(next_one) - found
    return found


def package(path: Path) -> str:
    """The package of handwriting/ that a file is in, or its own name."""
    return path.relative_to(ROOT / "handwriting").parts[0].removesuffix(".py")


def unit(path: Path) -> str:
    """What a stage names to depend on a file."""
    inside = path.is_relative_to(ROOT / "handwriting") and path.parent.name != "handwriting"
    return str((path.parent if inside else path).relative_to(ROOT))


def paths(stage: dict[str, Any], *kinds: str) -> Iterator[str]:
    """The paths that a stage lists, without their options."""
    for kind in kinds:
        for each in stage.get(kind, []):
            yield each if isinstance(each, str) else next(iter(each))


def loaded(path: Path) -> list[str]:
    """The keys that a file loads from params.yaml, as regular expressions."""
    keys = re.findall(r'params\.load\(\s*f?"([^"]+)"', path.read_text())
    return [re.sub(r"\\\{\w+\\\}", "[^.]+", re.escape(key)) for key in keys]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_all_code_that_it_imports_and_on_no_other(name: str) -> None:
    code = closure(MAINS[name])
    listed = {dep for dep in STAGES[name]["deps"] if dep.startswith(("stages/", "handwriting"))}
    texts = {dep for dep in listed if Path(dep).suffix not in ("", ".py")}
    assert listed - texts == {unit(path) for path in code}  # stages/__init__.py decides no result
    assert [text for text in texts if Path(text).name not in MAINS[name].read_text()] == []


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_declares_the_params_that_it_loads_and_no_other(name: str) -> None:
    keys = {key for path in closure(MAINS[name]) for key in loaded(path)}
    declared = {re.sub(r"\$\{item\.\w+\}", "x", each) for each in STAGES[name].get("params", [])}
    assert [each for each in declared if not any(re.fullmatch(key, each) for key in keys)] == []
    assert [key for key in keys if not any(re.fullmatch(key, each) for each in declared)] == []


def test_params_are_loaded_by_the_main_of_a_stage_or_by_what_stages_share_alone() -> None:
    for path in {*LIBRARY, *SCRIPTS} - {ROOT / "handwriting/own_data.py"}:  # which adds to them
        name = "main" if path in PROGRAMS else "load"
        places = [each for each in tree(path).body if getattr(each, "name", "") == name]
        inside = sum(ast.unparse(each).count("params.load(") for each in places)
        assert path.read_text().count("params.load(") == inside == len(loaded(path)), path
        assert not inside or path in SCRIPTS


def keys_of(section: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted keys of all values."""
    for key, value in section.items():
        if isinstance(value, dict) and value:
            yield from keys_of(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_every_key_of_params_is_read_by_a_stage() -> None:
    declared = {key for stage in STAGES.values() for key in stage.get("params", [])}
    known = "|".join(re.sub(r"\$\{item\.\w+\}", "[^.]+", key) for key in declared)
    known += r"|sources|test_archives"  # which the matrices read
    known += "|cluster"  # where jobs run decides no result: only the engine knows
    readers = [path.name for path in PRODUCT if "params.undeclared(" in path.read_text()]
    assert readers == ["engine.py"]
    keys = keys_of(read_params(ROOT))
    assert [key for key in keys if not re.match(rf"({known})(\.|$)", key)] == []


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_has_a_description_and_paths_of_its_source_alone(name: str) -> None:
    stage = STAGES[name]
    assert stage["desc"]
    name, values = next(iter(stage["matrix"].items()))
    assert name == "source"
    assert re.fullmatch(r"\$\{sources\.\w+\}", values)
    for path in paths(stage, "deps", "outs", "metrics", "plots"):
        code = path.startswith(("stages/", "handwriting", "requirements.txt"))
        assert code or "${item.source}" in path, path


def test_what_a_stage_reads_is_an_output_or_in_one() -> None:
    """`dvc repro --pull` cannot fetch a folder that only holds outputs."""
    stages = STAGES.values()
    other = re.compile(r"\$\{item\.(?!source)\w+\}")
    written = ("outs", "metrics", "plots")
    made = {other.sub("*", out) for each in stages for out in paths(each, *written)}
    for dep in {dep for each in stages for dep in paths(each, "deps")}:
        if dep.startswith(("artifacts/", "data/")) and "README" not in dep:
            path = Path(other.sub("x", dep))
            assert any(each.match(out) for each in (path, *path.parents) for out in made), dep


def test_what_trains_reads_no_test_split_and_no_true_labels() -> None:
    for name, stage in STAGES.items():
        deps = " ".join(paths(stage, "deps"))
        readers = (EVALUATE, "mnist:evaluate-mnist", "mnist:compare-inits")
        assert ("test.safetensors" in deps) == (name in readers), name
        assert "evaluation/oracle" not in deps or name in (EVALUATE, "report:report")
        assert "sources.csv" not in deps
        if name.startswith(("ablation:", "mnistTask3:naive", "mnistTask3:finetune-mnistTask3")):
            assert not re.search("/mnist/|mnist-", deps), name


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_of_the_packages_run_one_way(path: Path) -> None:
    below = {package(each) for each in ours(path)} - {package(path)}
    assert below <= set(BELOW[package(path)].split(", "))
    assert not any(each.is_relative_to(ROOT / "stages") for each in ours(path))


def test_no_stage_imports_a_stage() -> None:
    assert set(SCRIPTS) == set().union(*map(closure, PROGRAMS)) & set(SCRIPTS)
    assert {path for path in SCRIPTS if ours(path) & PROGRAMS} == set()


def test_what_trains_nothing_does_not_import_torch() -> None:
    packages = ("core", "raw", "data", "preprocessing", "reporting")
    plain = [MAINS[name] for name in STAGES if name.startswith(("data:", "report:"))]
    for path in (*plain, *(each for each in LIBRARY if package(each) in packages)):
        assert [each for each in closure(path) if "torch" in tops(each)] == [], path


def test_dvc_is_never_imported_and_pickle_never_loaded() -> None:
    for path in (*PRODUCT, *BENCH):
        assert not [name for name in tops(path) if name == "pickle" or re.match("dvc(_|$)", name)]
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert "weights_only=True" in ast.unparse(node), path


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_documented_and_short(path: Path) -> None:
    assert ast.get_docstring(tree(path))
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
            assert ast.get_docstring(node) or node.name == "main", node.name
    for each in ast.walk(tree(path)):
        if isinstance(each, ast.FunctionDef):
            assert (each.end_lineno or 0) - each.lineno < 45, each.name


def test_retired_words_do_not_come_back() -> None:
    listed = run(ROOT, "git", "ls-files", "-co", "--exclude-standard").stdout.split()
    texts = {name for name in listed if name.endswith(TEXT) and (ROOT / name).is_file()}
    for name in sorted(texts - {"CHANGELOG.md"}):
        text = "" if name.endswith(".min.js") else (ROOT / name).read_text()
        assert [line for line in text.splitlines() if RETIRED.search(line)] == [], name


def test_dependencies_are_justified_and_complete() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    wanted = text[text.index("dependencies = [") : text.index("[tool.ruff]")]
    assert re.findall(r'(?m)^ +"[^#]*$', wanted) == []
    names = re.findall(r'(?m)^    "([\w.-]+)', text)
    named = {re.sub(r"[-.]", "_", each).removesuffix("_it_py") for each in names}
    called = {"yaml": "pyyaml", "ruamel": "ruamel_yaml", "PIL": "pillow", "sklearn": "scikit_learn"}
    known = {"handwriting", "stages", "tools", "bench", *sys.stdlib_module_names}
    for path in (*PRODUCT, *BENCH):
        used = {called.get(name, name).removesuffix("_it") for name in tops(path) - known}
        assert used <= named
    pins = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in pins if "==" not in line or "://" in line] == []


def test_the_walks_of_the_architecture_follow_the_imports() -> None:
    """Two neighbours in code import each other, or hand over files as stages."""
    lists = re.findall(r"(?m)(?:^\d+\. .*\n)+", ARCHITECTURE)
    assert len(lists) >= 3
    for each in lists:
        walk = [ROOT / path for path in re.findall(r"(?m)^\d+\. `([^`]+)`", each)]
        assert 2 <= len(walk) <= 8
        assert [path for path in walk if not path.exists()] == []
        for pair in pairwise(walk):
            code = [path for path in pair if path.suffix == ".py"]
            linked = set(pair) <= PROGRAMS or any(set(pair) <= {each, *ours(each)} for each in code)
            assert linked or len(code) < 2, pair
