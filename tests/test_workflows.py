"""GitHub's workflows: valid, with the least rights, and the pipeline's shell lines as they run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import workspace
from tests.pages import sections
from tests.workspace import ROOT, run

PATHS = sorted((ROOT / ".github/workflows").glob("*.yml"))
WRITES = {("pipeline", "pipeline"): {"contents"}, ("pipeline", "comment"): {"pull-requests"}}
WORKFLOWS: dict[str, dict[Any, Any]] = {p.stem: yaml.safe_load(p.read_text()) for p in PATHS}
JOBS = [(name, key, job) for name, each in WORKFLOWS.items() for key, job in each["jobs"].items()]


def shell_lines(job: str) -> list[str]:
    """The `run` lines of a job of the pipeline's workflow."""
    steps = WORKFLOWS["pipeline"]["jobs"][job]["steps"]
    return [line for step in steps for line in step.get("run", "").splitlines()]


@pytest.mark.parametrize("schema", ["vendor.github-workflows", "vendor.dependabot"])
def test_workflows_fit_githubs_schema_and_end_in_time(schema: str) -> None:
    timeout = ("--builtin-schema", "custom.github-workflows-require-timeout")
    paths = [str(path) for path in PATHS]
    if schema == "vendor.dependabot":
        paths = [str(ROOT / ".github/dependabot.yml")]
    else:
        run(ROOT, sys.executable, "-m", "check_jsonschema", *timeout, *paths)
    run(ROOT, sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *paths)


def test_actions_are_pinned_by_commit_with_their_version() -> None:
    used = [each for path in PATHS for each in re.findall(r"(?m)- uses: (.*)$", path.read_text())]
    assert used
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


def test_permissions_are_minimal_and_no_pull_request_reaches_the_runner_or_a_secret() -> None:
    for workflow, name, job in JOBS:
        content = WORKFLOWS[workflow]
        events = set(content[True])  # YAML 1.1 reads the key `on` as true
        assert "write" not in content["permissions"].values()
        writes = {key for key, value in job.get("permissions", {}).items() if value == "write"}
        assert writes == WRITES.get((workflow, name), set())
        assert "github.ref" in content["concurrency"]["group"]
        assert "pull_request_target" not in events
        if "self-hosted" in job["runs-on"] or "secrets." in str(job):
            assert events <= {"push", "workflow_dispatch"}


def test_shell_lines_are_known_commands_without_pasted_expressions() -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    steps = [step["run"] for _, _, job in JOBS for step in job["steps"] if "run" in step]
    assert ".ci/run" in steps
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "${{" not in str(steps)
    assert set(re.findall(r"make ([a-z-]+)", "\n".join(steps))) <= targets
    by_hand = sections("CONTRIBUTING.md")["A runner with a GPU"]
    verbs = [line.split(" --")[0] for line in shell_lines("pipeline") if line.startswith("dvc ")]
    assert [verb for verb in verbs if verb not in "\n".join(by_hand)] == []


@pytest.mark.slow
def test_the_pipelines_steps_run_push_commit_and_comment(committed: Path, tmp_path: Path) -> None:
    origin, runner, server = (tmp_path / name for name in ("origin", "runner", "server"))
    run(tmp_path, "git", "clone", "--quiet", "--bare", str(committed), str(origin))
    run(tmp_path, "git", "clone", "--quiet", str(origin), str(runner))
    run(runner, "git", "switch", "--quiet", "--create", "gpu/try")
    params = workspace.read_params(runner)
    params["sample"]["crossvalidation"]["split_seed"] = 7
    workspace.write_params(runner, params)
    run(runner, "git", "commit", "--quiet", "--all", "--message", "another split seed")
    workspace.make_environment(runner / ".venv")
    shutil.copytree(committed / ".dvc/cache", runner / ".dvc/cache")
    gh = tmp_path / "bin/gh"
    gh.parent.mkdir()
    gh.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\n')
    gh.chmod(0o755)
    config = f'[core]\nremote = storage\n[remote "storage"]\nurl = {server}\n'
    environment = {
        **workspace.ENVIRONMENT,
        **{"PATH": f"{gh.parent}:{workspace.ENVIRONMENT['PATH']}", "DVC_CONFIG": config},
        **{"GITHUB_PATH": str(tmp_path / "path"), "GITHUB_REF": "refs/heads/gpu/try"},
        **{"GITHUB_REF_NAME": "gpu/try", "PIPELINE": "dvc.yaml", "RUN": "https://run"},
    }
    for job, folder in (("pipeline", runner), ("comment", runner / "dvc_plots")):
        script = "\n".join(shell_lines(job))
        done = subprocess.run(["bash", "-e", "-c", script], cwd=folder, env=environment)
        assert done.returncode == 0
    assert "comment gpu/try --edit-last" in (tmp_path / "said").read_text()
    comment = (runner / "dvc_plots/comment.md").read_text()
    assert "| metrics/sample/characters.json" in comment
    assert "| sample.crossvalidation.split_seed" in comment
    changed = run(origin, "git", "diff", "--name-only", "gpu/try~", "gpu/try").stdout.split()
    assert "metrics/sample/characters.json" in changed
    assert "stages/characters/dvc.lock" in changed
    assert list((server / "files/md5").glob("??/*"))
