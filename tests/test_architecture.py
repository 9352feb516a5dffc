"""The rules of the house, read from the source and from dvc.yaml."""

import ast
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STUDY: dict[str, Any] = yaml.safe_load((ROOT / "ablation/dvc.yaml").read_text())["stages"]
EVERY = [(ROOT, STAGES[name]) for name in STAGES] + [(ROOT / "ablation", STUDY[n]) for n in STUDY]
SOURCES = sorted(ROOT.glob("stages/**/*.py"))


@cache
def imported(path: Path) -> frozenset[str]:
    """The modules that a file imports, by their dotted names."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def ours(path: Path) -> set[Path]:
    """The files of the project that a file imports."""
    candidates = {ROOT / (name.replace(".", "/") + ".py") for name in imported(path)}
    return {candidate for candidate in candidates if candidate.exists()}


def closure(path: Path) -> set[Path]:
    """A file and all of the project that it imports, directly or not."""
    found, waiting = set(), {path}
    while waiting:
        found.add(next_one := waiting.pop())
        waiting |= ours(next_one) - found
    return found


def unit(path: Path) -> Path:
    """What a stage names to depend on a file: the folder of common it is in, or the file itself."""
    packaged = path.parent.parent == ROOT / "stages/common"
    return path.parent if packaged else path


def program(stage: dict[str, Any]) -> Path:
    commands = stage["cmd"] if isinstance(stage["cmd"], list) else [stage["cmd"]]
    words = [str(command).removeprefix("cd .. && ").split() for command in commands]
    [name] = {each[2] for each in words if each[:2] == ["python", "-m"]}
    return ROOT / (name.replace(".", "/") + ".py")


@pytest.mark.parametrize(("folder", "stage"), EVERY, ids=[*STAGES, *STUDY])
def test_a_stage_depends_on_all_code_that_it_imports_and_on_no_other(
    folder: Path, stage: dict[str, Any]
) -> None:
    listed = {(folder / dep).resolve() for dep in stage["deps"]}
    code = {each for each in listed if each.is_relative_to(ROOT / "stages")}
    assert code == set(map(unit, closure(program(stage)))) | {ROOT / "stages/__init__.py"}


@pytest.mark.parametrize("name", STAGES)
def test_the_source_is_the_first_coordinate_of_every_stage(name: str) -> None:
    stage = STAGES[name]
    assert next(iter(stage["matrix"].items())) == ("source", ["${source}"])
    written = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
    for path in [*stage["deps"], *written]:
        location = path if isinstance(path, str) else next(iter(path))
        ours = location.startswith("stages/") or location in ("params.yaml", "requirements.txt")
        assert ours or "${item.source}" in location


@pytest.mark.parametrize("name", STAGES)
def test_only_evaluate_depends_on_a_test_split(name: str) -> None:
    reads = any("test.safetensors" in dep for dep in STAGES[name]["deps"])
    assert reads == (name in ("evaluate-digits", "evaluate-transfer"))


def test_nothing_that_learns_or_diagnoses_depends_on_the_true_labels_of_mnisttask3() -> None:
    [truth] = [out for out in STAGES["match"]["outs"] if "matched" in str(out)]
    readers = [name for name, each in (STAGES | STUDY).items() if "matched" in str(each["deps"])]
    assert readers == ["evaluate-transfer"]
    assert truth in STAGES["evaluate-transfer"]["deps"]


@pytest.mark.parametrize("name", [*STAGES, *STUDY])
def test_no_stage_that_learns_or_measures_sees_where_a_row_came_from(name: str) -> None:
    # `frame` keeps the order of the rows by it.
    sees = any("sources" in dep for dep in (STAGES | STUDY)[name]["deps"])
    assert sees == (name == "frame")


def test_the_study_of_the_choices_reads_no_split_for_tests_and_writes_nothing_of_the_pipeline() -> (
    None
):
    for stage in STUDY.values():
        assert not any("test.safetensors" in dep or "mnist" in dep for dep in stage["deps"])
        outs = [next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"]]
        assert all(out.startswith(("artifacts/", "../metrics/")) for out in outs)


def test_every_stage_says_what_it_is_for() -> None:
    assert all(stage.get("desc") for stage in STAGES.values())


def test_the_default_path_has_at_most_25_stage_instances() -> None:
    def instances(stage: dict[str, Any]) -> int:
        count = 1
        for values in stage["matrix"].values():
            count *= 0 if values == "${test_archives}" else len(values)  # empty by default
        return count

    assert sum(map(instances, STAGES.values())) <= 25


def test_the_files_in_stages_are_the_programs_of_the_two_dvc_yaml_and_the_door_for_users() -> None:
    programs = {program(stage) for _, stage in EVERY}
    doors = {ROOT / "handwriting/classifier.py", ROOT / "stages/__init__.py"}
    assert set(ROOT.glob("stages/*.py")) == programs | doors


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    stages = {each for each in ours(path) if each.parent == ROOT / "stages"}
    allowed = (
        {ROOT / "handwriting/classifier.py"}
        if path.name in ("evaluate.py", "match.py", "transfer.py")
        else set()
    )
    assert stages <= allowed


@pytest.mark.parametrize(
    ("library", "users"),
    [
        ("yaml", {"params.py"}),
        ("requests", {"download.py"}),
        ("plotly", {"charts.py"}),
        ("jinja2", {"page.py"}),
        ("onnx", {"export.py"}),
        ("PIL", {"images.py", "sheets.py", "gallery.py"}),
        ("kornia_rs", {"images.py"}),
        ("safetensors", {"dataset.py"}),
    ],
)
def test_a_library_has_its_users_and_no_other(library: str, users: set[str]) -> None:
    found = {p.name for p in SOURCES if any(n.split(".")[0] == library for n in imported(p))}
    assert found == users


@pytest.mark.parametrize("name", ["download", "unzip", "preprocess", "report"])
def test_stages_that_train_nothing_never_import_torch(name: str) -> None:
    for path in closure(ROOT / f"stages/{name}.py"):
        assert not any(module.split(".")[0] == "torch" for module in imported(path))


def test_no_function_is_longer_than_a_screen() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 55, f"{path.name}: {node.name}"


def test_every_module_and_public_function_says_what_it_is_for() -> None:
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
                assert ast.get_docstring(node) or node.name == "main", f"{path.name}: {node.name}"


def test_pickle_is_never_loaded() -> None:
    for path in SOURCES:
        assert "pickle" not in imported(path)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert "weights_only=True" in ast.unparse(node)


def test_every_direct_dependency_is_justified() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    wanted = text[text.index("dependencies = [") : text.index("[tool.ruff]")]
    for line in wanted.splitlines():
        if line.strip().startswith('"'):
            assert "#" in line, line


def test_every_package_that_is_imported_is_a_direct_dependency() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    named = {re.sub(r"[-.]", "_", each) for each in re.findall(r'(?m)^    "([\w.-]+)', text)}
    called = {
        "yaml": "pyyaml",
        "PIL": "pillow",
        "sklearn": "scikit_learn",
        "markdown_it": "markdown_it_py",
    }
    for path in (*SOURCES, *ROOT.glob("tools/*.py"), *ROOT.glob("bench/*.py")):
        for name in {each.split(".")[0] for each in imported(path)} - sys.stdlib_module_names:
            assert name in ("stages", "tools", "bench") or called.get(name, name) in named, path


def test_what_learns_from_mnistTask3_depends_on_nothing_of_mnist() -> None:  # noqa: N802
    for name in ("naive", "correct"):
        assert not [each for each in STAGES[name]["deps"] if "/mnist/" in each or "mnist-" in each]


def test_the_lock_names_versions_and_no_index() -> None:
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        assert "==" in line
        assert "://" not in line
