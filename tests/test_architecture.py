"""The architecture, checked against the source, the dvc.yaml files and params.yaml."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PIPELINES = sorted(ROOT.glob("stages/*/dvc.yaml"))
STAGES: dict[str, Any] = {
    f"{path.parent.name}:{name}": stage
    for path in PIPELINES
    for name, stage in yaml.safe_load(path.read_text())["stages"].items()
}
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
LIBRARY = sorted((ROOT / "handwriting").rglob("*.py"))
SCRIPTS = sorted((ROOT / "stages").glob("*/*.py"))
PRODUCT = [*LIBRARY, ROOT / "stages/__init__.py", *SCRIPTS, *sorted(ROOT.glob("tools/*.py"))]
BENCH = sorted(ROOT.glob("bench/*.py"))
# What a package may import. A module of handwriting/ itself is a package of its own here.
BELOW = {
    "core": [],
    "raw": ["core"],
    "data": ["core", "raw"],
    "preprocessing": ["core", "raw", "data"],
    "training": ["core", "data"],
    "characters": ["core", "data", "training"],
    "noise": ["core", "data", "training"],
    "evaluation": ["core", "data", "training", "characters", "noise", "classifier"],
    "reporting": ["core", "data", "evaluation"],
    "classifier": ["core", "raw", "data", "preprocessing", "training", "characters"],
    "sources": ["core", "raw", "data", "preprocessing", "classifier"],
    "cli": ["core", "data", "noise", "training", "classifier", "sources"],
    "__main__": ["cli"],
    "__init__": ["classifier"],
}
TEST_SPLIT_READERS = {
    "mnist:evaluate-mnist",
    "mnist:compare-inits",
    "mnistTask3:evaluate-mnistTask3",
}
# The words that names.md retires, where they have few other meanings.
RETIRED = (
    *(r"same.hand", r"known.hands", r"new.hands", r"\bhands?\.(csv|py)", r"\bHand\b", r"hand-from"),
    *(
        r"(?<!www\.)\bdropbox\b(?!\\?\.com)",
        r"place_norm",
        r"\bstrengths?\b",
        r"['\"](middle|strong)['\"]",
    ),
    *(
        r"\bbases\b",
        r"['\"]corrected['\"]",
        r"\baudit",
        r"\btwins\b",
        r"['\"](probe|discriminative)['\"]",
    ),
    *(
        r"\bcompanions\b",
        r"\bsettle\b",
        r"\bis_writer\b",
        r"\bPatience\b",
        r"\bcomplaint\b",
        r"\b_spin\b",
    ),
    *(
        r"rates\.convolutions",
        r"\bpooled\s*[=:]",
        r"read rightly",
        r"(?<!be )learnt from",
        r"\bexhibits?\b",
    ),
    *(
        r"taken at their word",
        r"case forgiven",
        r"\barms\.py",
        r"a nobody would",
        r"way of (cross|fine)",
    ),
    *(
        r"(?<!stages/)ablation/dvc",
        r"tools[./](repro|changes|commit|comment)\b",
        r"stages[./]common",
    ),
)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imported(path: Path) -> frozenset[str]:
    """The modules that a file imports, by their dotted names; not what only a type checker sees."""
    names = set()
    hidden = [
        n
        for n in ast.walk(tree(path))
        if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)
    ]
    skipped = {id(child) for node in hidden for child in ast.walk(node)}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and id(node) not in skipped:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


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


def script(stage: dict[str, Any]) -> Path:
    module: str = stage["cmd"].split()[2]
    return ROOT / (module.replace(".", "/") + ".py")


def paths(stage: dict[str, Any], *kinds: str) -> Iterator[str]:
    """The paths that a stage lists, without their options."""
    for kind in kinds:
        for each in stage.get(kind, []):
            yield each if isinstance(each, str) else next(iter(each))


def loaded(path: Path) -> Iterator[str]:
    """The keys that a file loads from params.yaml; {} stands for what is only known at run time."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "params.load":
            key = node.args[0]
            parts = key.values if isinstance(key, ast.JoinedStr) else [key]
            yield "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in parts)


def pattern(key: str) -> re.Pattern[str]:
    return re.compile(re.escape(key).replace(r"\{\}", r"[^.]+"))


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_all_code_that_it_imports_and_on_no_other(name: str) -> None:
    code = closure(script(STAGES[name]))
    listed = {dep for dep in STAGES[name]["deps"] if dep.startswith(("stages/", "handwriting"))}
    texts = {dep for dep in listed if Path(dep).suffix not in ("", ".py")}
    assert listed - texts == {unit(path) for path in code}  # stages/__init__.py decides no result
    assert {
        each for each in texts if Path(each).name not in script(STAGES[name]).read_text()
    } == set()


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_declares_the_params_that_it_loads_and_no_other(name: str) -> None:
    keys = {pattern(key) for path in closure(script(STAGES[name])) for key in loaded(path)}
    declared = {re.sub(r"\$\{item\.\w+\}", "x", each) for each in STAGES[name].get("params", [])}
    assert {each for each in declared if not any(key.fullmatch(each) for key in keys)} == set()
    assert {key for key in keys if not any(map(key.fullmatch, declared))} == set()


def test_params_are_loaded_by_the_main_of_a_stage_alone() -> None:
    assert [path for path in LIBRARY if list(loaded(path))] == []
    for path in SCRIPTS:
        mains = [n for n in tree(path).body if isinstance(n, ast.FunctionDef) and n.name == "main"]
        inside = sum(ast.unparse(main).count("params.load(") for main in mains)
        assert len(list(loaded(path))) == inside, path


def test_every_key_of_params_is_read_by_a_stage() -> None:
    declared = {key for stage in STAGES.values() for key in stage.get("params", [])}
    for source in PARAMS["sources"]:
        known = {
            re.sub(r"\$\{item\.\w+\}", "[^.]+", key.replace("${item.source}", source))
            for key in declared
        }
        readable = [k for k in PARAMS if k not in ("sources", "test_archives", *PARAMS["sources"])]
        keys = readable + [f"{source}.{key}" for key in PARAMS[source]]
        assert [k for k in keys if not any(re.match(rf"{k}(\.|$)", each) for each in known)] == []


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_has_a_description_and_paths_of_its_source_alone(name: str) -> None:
    stage = STAGES[name]
    assert stage["desc"]
    assert next(iter(stage["matrix"].items())) == ("source", "${sources}")
    for path in paths(stage, "deps", "outs", "metrics", "plots"):
        code = path.startswith(("stages/", "handwriting", "requirements.txt"))
        assert code or "${item.source}" in path, path


def test_what_a_stage_reads_is_an_output_or_in_one() -> None:
    """`dvc repro --pull` cannot fetch a folder that only holds outputs.

    The ablation reads a whole folder: its groups are a list in params.yaml.
    """
    made = {
        re.sub(r"\$\{item\.(?!source)\w+\}", "*", out)
        for stage in STAGES.values()
        for out in paths(stage, "outs", "metrics")
    }
    for name, stage in STAGES.items():
        for dep in paths(stage, "deps"):
            if name != "ablation:ablation-table" and dep.startswith(
                ("artifacts/", "data/raw", "data/images", "data/tensors")
            ):
                path = Path(re.sub(r"\$\{item\.(?!source)\w+\}", "x", dep))
                assert any(each.match(m) for each in (path, *path.parents) for m in made), (
                    name,
                    dep,
                )


def test_only_evaluations_depend_on_a_test_split_and_nothing_that_trains_on_true_labels() -> None:
    for name, stage in STAGES.items():
        deps = " ".join(paths(stage, "deps"))
        assert ("test.safetensors" in deps) == (name in TEST_SPLIT_READERS), name
        oracle = "evaluation/oracle" in deps
        assert not oracle or name in ("mnistTask3:evaluate-mnistTask3", "report:report"), name
        assert "sources.csv" not in deps
        if name.startswith("ablation:") or name in (
            "mnistTask3:naive",
            "mnistTask3:finetune-mnistTask3",
        ):
            assert "/mnist/" not in deps
            assert "mnist-" not in deps


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_of_the_packages_run_one_way(path: Path) -> None:
    below = {package(each) for each in ours(path)} - {package(path)}
    assert below <= set(BELOW[package(path)])
    assert not any(each.is_relative_to(ROOT / "stages") for each in ours(path))


def test_no_stage_imports_a_stage() -> None:
    programs = {script(stage) for stage in STAGES.values()}
    assert set(SCRIPTS) == set().union(*map(closure, programs)) & set(SCRIPTS)
    assert {path for path in SCRIPTS if ours(path) & programs} == set()


def test_what_trains_nothing_does_not_import_torch() -> None:
    plain = [script(STAGES[name]) for name in STAGES if name.startswith(("data:", "report:"))]
    plain += [
        p for p in LIBRARY if package(p) in ("core", "raw", "data", "preprocessing", "reporting")
    ]
    for path in plain:
        for each in closure(path):
            assert not any(name.split(".")[0] == "torch" for name in imported(each)), (path, each)


def test_dvc_is_run_and_never_imported() -> None:
    for path in (*PRODUCT, *BENCH):
        assert not any(re.match(r"dvc(_|\.|$)", n) for n in imported(path)), path


def test_pickle_is_never_loaded() -> None:
    for path in (*PRODUCT, *BENCH):
        assert "pickle" not in imported(path)
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
    words = re.compile("|".join(RETIRED))
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
    kinds = (".py", ".md", ".yaml", ".yml", ".html", ".js", ".css", ".toml", "Makefile")
    found = [
        f"{name}:{number}: {match[0]}"
        for name in listed
        if name.endswith(kinds)
        and not name.endswith((".min.js", "test_architecture.py", "CHANGELOG.md"))
        if (ROOT / name).is_file()
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1)
        for match in [words.search(line)]
        if match
    ]
    assert found == []


def test_dependencies_are_justified_and_complete() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    wanted = text[text.index("dependencies = [") : text.index("[tool.ruff]")]
    assert [
        line for line in wanted.splitlines() if line.strip()[:1] == '"' and "#" not in line
    ] == []
    named = {re.sub(r"[-.]", "_", each) for each in re.findall(r'(?m)^    "([\w.-]+)', text)}
    called = {
        "yaml": "pyyaml",
        "PIL": "pillow",
        "sklearn": "scikit_learn",
        "markdown_it": "markdown_it_py",
    }
    known = {"handwriting", "stages", "tools", "bench", *sys.stdlib_module_names}
    for path in (*PRODUCT, *BENCH):
        missing = {each.split(".")[0] for each in imported(path)} - known
        assert {called.get(name, name) for name in missing} <= named, path
    pins = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in pins if "==" not in line or "://" in line] == []


def walks() -> list[list[Path]]:
    """The walks of docs/architecture.md: numbered lists whose items begin with a path."""
    found: list[list[Path]] = []
    for line in (ROOT / "docs/architecture.md").read_text().splitlines():
        if item := re.match(r"(\d+)\. `([^`]+)`", line):
            if item[1] == "1":
                found.append([])
            found[-1].append(ROOT / item[2])
    return found


def test_the_walks_of_the_architecture_follow_the_imports() -> None:
    assert len(walks()) >= 3
    for walk in walks():
        assert 2 <= len(walk) <= 8
        for one, two in pairwise(walk):
            assert one.exists(), one
            assert two.exists(), two
            code = one.suffix == two.suffix == ".py"
            assert not code or two in ours(one) or one in ours(two) or passed_on(one, two), (
                one,
                two,
            )


def passed_on(one: Path, two: Path) -> bool:
    """Whether a stage reads what the other, or the same script, writes."""
    made: dict[Path, set[str]] = {one: set(), two: set()}
    read: dict[Path, set[str]] = {one: set(), two: set()}
    for stage in STAGES.values():
        if (path := script(stage)) in made:
            made[path] |= {
                re.sub(r"\$\{item\.(?!source)\w+\}", "", o).rstrip("/")
                for o in paths(stage, "outs")
            }
            read[path] |= set(paths(stage, "deps"))
    return any(
        dep.startswith(out)
        for a, b in ((one, two), (two, one))
        for out in made[a]
        for dep in read[b]
    )
