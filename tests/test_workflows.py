"""The workflows of GitHub: their rules, and each of their shell steps run for real."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import torch
import yaml

from tests import workspace
from tests.servers import Server, WebDav
from tests.workspace import ROOT, run
from tools import changes

PATHS = sorted((ROOT / ".github/workflows").glob("*.yml"))
# What a job may do to the repository beyond reading it.
WRITES = {("pipeline", "pipeline"): {"contents"}, ("pipeline", "comment"): {"pull-requests"}}
EXPRESSION = re.compile(r"\$\{\{ *(.*?) *\}\}")


def content_of(path: Path) -> dict[str, Any]:
    """A workflow; YAML 1.1 reads its key `on` as true."""
    content: dict[Any, Any] = yaml.safe_load(path.read_text())
    content["on"] = content.pop(True)
    return content


WORKFLOWS = {path.stem: content_of(path) for path in PATHS}
JOBS = [
    (workflow, name, job)
    for workflow, content in WORKFLOWS.items()
    for name, job in content["jobs"].items()
]


def fits_schema(path: Path, schema: str) -> subprocess.CompletedProcess[str]:
    words = ("--builtin-schema", schema, str(path))
    return run(ROOT, sys.executable, "-m", "check_jsonschema", *words, check=False)


def test_workflows_fit_githubs_schema_and_end_in_time() -> None:
    for path in PATHS:
        for schema in ("vendor.github-workflows", "custom.github-workflows-require-timeout"):
            done = fits_schema(path, schema)
            assert done.returncode == 0, done.stdout
    assert fits_schema(ROOT / ".github/dependabot.yml", "vendor.dependabot").returncode == 0


def test_a_workflow_with_a_misspelt_key_does_not_fit(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(PATHS[0].read_text().replace("steps:", "step:"))
    assert fits_schema(wrong, "vendor.github-workflows").returncode == 1


def test_actions_are_pinned_by_commit_with_their_version() -> None:
    for path in PATHS:
        used = re.findall(r"(?m)^ +- uses: (.*)$", path.read_text())
        assert used
        for action in used:
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


def test_permissions_are_the_least_and_runs_of_a_branch_replace_each_other() -> None:
    for workflow, name, job in JOBS:
        top = WORKFLOWS[workflow]["permissions"]
        assert "write" not in top.values()
        writes = {key for key, value in job.get("permissions", {}).items() if value == "write"}
        assert writes == WRITES.get((workflow, name), set())
        assert "github.ref" in WORKFLOWS[workflow]["concurrency"]["group"]


def test_no_pull_request_reaches_the_runner_or_a_secret() -> None:
    for workflow, _, job in JOBS:
        assert "pull_request_target" not in WORKFLOWS[workflow]["on"]
        if "self-hosted" in job["runs-on"] or "secrets." in str(job):
            assert set(WORKFLOWS[workflow]["on"]) <= {"push", "workflow_dispatch"}
    assert any("self-hosted" in job["runs-on"] for _, _, job in JOBS)


def test_every_shell_step_is_a_target_or_a_script_and_no_expression_is_pasted_into_it() -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    for _, _, job in JOBS:
        for step in job["steps"]:
            if shell := step.get("run"):
                program, *words = shell.split()
                assert words[0] in targets if program == "make" else (ROOT / program).is_file()
                assert "${{" not in shell


class GitHub(BaseHTTPRequestHandler):
    """The part of GitHub's REST API that a comment takes, for one pull request: number 7."""

    branch: ClassVar[str] = "gpu/try"
    comments: ClassVar[list[dict[str, Any]]] = []

    def answer(self, content: object, status: int = 200) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def body(self) -> str:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return str(said["body"])

    def refuse(self) -> bool:
        if self.headers["Authorization"] != "Bearer hush":
            self.answer({"message": "Bad credentials"}, 401)
            return True
        return False

    def do_GET(self) -> None:
        if self.refuse():
            return
        url = urlsplit(self.path)
        words = parse_qs(url.query)
        if url.path == "/repos/team/project/pulls":
            known = words["head"] == [f"team:{self.branch}"] and words["state"] == ["open"]
            self.answer([{"number": 7}] if known else [])
        elif url.path == "/repos/team/project/issues/7/comments":
            size, page = int(words["per_page"][0]), int(words["page"][0])
            self.answer(self.comments[size * (page - 1) : size * page])
        else:
            self.answer({"message": "Not Found"}, 404)

    def do_POST(self) -> None:
        assert self.path == "/repos/team/project/issues/7/comments"
        self.comments.append({"id": len(self.comments), "body": self.body()})
        self.answer(self.comments[-1], 201)

    def do_PATCH(self) -> None:
        number = int(self.path.removeprefix("/repos/team/project/issues/comments/"))
        self.comments[number]["body"] = self.body()
        self.answer(self.comments[number])

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def github() -> Iterator[dict[str, str]]:
    """The environment that leads to a GitHub of our own."""
    GitHub.comments[:] = [{"id": i, "body": "a reader's"} for i in range(150)]
    with ThreadingHTTPServer(("127.0.0.1", 0), GitHub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {
            "GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}",
            "GITHUB_REPOSITORY": "team/project",
            "GITHUB_REF_NAME": GitHub.branch,
            "GITHUB_TOKEN": "hush",
        }
        server.shutdown()


def comment(folder: Path, github: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "tools/comment.py"), "text.md"],
        cwd=folder,
        env={**workspace.ENVIRONMENT, **github},
        capture_output=True,
        text=True,
    )


def test_a_comment_is_made_once_and_then_renewed(tmp_path: Path, github: dict[str, str]) -> None:
    for text in ("first", "second"):
        (tmp_path / "text.md").write_text(text)
        assert comment(tmp_path, github).stdout == "commented on pull request 7\n"
        assert len(GitHub.comments) == 151
        assert GitHub.comments[-1]["body"].endswith(f"\n{text}")
    assert all(each["body"] == "a reader's" for each in GitHub.comments[:-1])


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"GITHUB_REF_NAME": "other"}, 0, "no open pull request from other"),
        ({"GITHUB_TOKEN": ""}, 1, "comment: not in the environment: GITHUB_TOKEN"),
        ({"GITHUB_TOKEN": "wrong"}, 1, "comment: HTTP Error 401"),
        ({"GITHUB_API_URL": "http://127.0.0.1:1"}, 1, "comment: <urlopen error"),
    ],
)
def test_a_comment_that_cannot_be_made_is_one_line(
    tmp_path: Path, github: dict[str, str], change: dict[str, str], status: int, said: str
) -> None:
    (tmp_path / "text.md").write_text("text")
    done = comment(tmp_path, {**github, **change})
    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert len((done.stdout + done.stderr).splitlines()) == 1
    assert len(GitHub.comments) == 150


def filled(value: str, meanings: dict[str, str]) -> str:
    """A value of a workflow with its expressions replaced by what they mean here."""
    return EXPRESSION.sub(lambda found: meanings[found[1]], value)


def run_steps(
    workflow: str, job: str, folder: Path, meanings: dict[str, str], extra: dict[str, str]
) -> dict[str, str]:
    """Run the shell steps of a job in `folder`, as GitHub does; what each said."""
    content = WORKFLOWS[workflow]
    said = {}
    for step in content["jobs"][job]["steps"]:
        if shell := step.get("run"):
            given = {**content.get("env", {}), **step.get("env", {})}
            own = {key: filled(value, meanings) for key, value in given.items()}
            done = subprocess.run(
                ["bash", "-e", "-c", shell],
                cwd=folder,
                env={**workspace.ENVIRONMENT, **own, **extra},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, (shell, done.stdout, done.stderr)
            said[shell] = done.stdout
    return said


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = WebDav(tmp_path / "server").start()
    yield started
    started.kill()


@pytest.mark.slow
def test_the_pipelines_steps_run_pull_push_commit_and_comment(
    committed: Path, server: Server, github: dict[str, str], tmp_path: Path
) -> None:
    origin, author, runner = (tmp_path / name for name in ("origin", "author", "runner"))
    run(tmp_path, "git", "clone", "--quiet", "--bare", str(committed), str(origin))
    run(tmp_path, "git", "clone", "--quiet", str(origin), str(author))
    run(author, "dvc", "config", "--local", "cache.dir", str(committed / ".dvc/cache"))
    run(author, "python", "-m", "tools.remote", server.url, "timeout=60")
    run(author, "dvc", "push")
    run(author, "git", "checkout", "--quiet", "-b", GitHub.branch)
    params = workspace.read_params(author)
    params["crossvalidate"]["sample"]["draw"] = 2
    workspace.write_params(author, params)
    run(author, "git", "commit", "--quiet", "--all", "--message", "another drawing")
    run(author, "git", "push", "--quiet", "origin", GitHub.branch)

    words = ("--quiet", "--branch", GitHub.branch)
    run(tmp_path, "git", "clone", *words, str(origin), str(runner))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    meanings = {
        "inputs.source || 'dropbox'": "sample",
        "vars.DVC_URL": server.url,
        "secrets.DVC_SETTINGS": "password=h$h timeout=60",
        "vars.DVC_DEVICE || 'cuda'": device,
        "github.token": "hush",
    }
    extra = {"VENV": str(workspace.make_environment(tmp_path / "venv")), **github}
    said = run_steps("pipeline", "pipeline", runner, meanings, extra)
    assert server.url in said["make remote"]
    assert not (runner / ".dvc/config.local").read_text().count("h$h")
    if device == "cpu":
        ran = re.findall(r"Running stage '(.*)'", said["make repro-pull"])
        assert ran == ["crossvalidate@sample", "evaluate-characters@sample", "report@sample"]
    assert run(runner, "git", "status", "--porcelain").stdout == ""
    pushed = run(author, "git", "pull", "--quiet", "origin", GitHub.branch)
    assert pushed.returncode == 0
    changed = run(author, "git", "diff", "--name-only", "HEAD~").stdout.splitlines()
    assert "dvc.lock" in changed
    assert "metrics/sample/characters.json" in changed
    assert {path.split("/")[0] for path in changed} <= {"dvc.lock", "metrics", "params.yaml"}

    # what the runner made comes back from the server alone
    third = tmp_path / "third"
    run(tmp_path, "git", "clone", *words, str(origin), str(third))
    run(third, "python", "-m", "tools.remote", server.url, "timeout=60")
    assert "Running stage" not in run(third, "dvc", "repro", "--pull", "--allow-missing").stdout
    run(third, "dvc", "pull")

    run_steps("pipeline", "comment", runner, meanings, {**github, "PYTHON": sys.executable})
    text = GitHub.comments[-1]["body"]
    assert "| metrics/sample/characters.json" in text
    assert re.search(r"\| params.yaml +\| crossvalidate.sample.draw +\|", text)
    assert text.count("```mermaid") >= 2
    assert (runner / "dvc_plots/index.html").stat().st_size > 10_000


def test_main_takes_no_commit_of_a_run(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tools.commit"]
    given = {**workspace.ENVIRONMENT, "GITHUB_REF_NAME": "main", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tmp_path, env=given, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "commit: main keeps its own lock: run on another branch\n"


def test_the_tests_workflow_is_what_ci_runs() -> None:
    (job,) = WORKFLOWS["tests"]["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_each_curve_of_a_comment_is_named_after_its_arm() -> None:
    files = [f"metrics/sample/transfer/mnist-{start}-mean.csv" for start in ("digits", "random")]
    axis = {"type": "quantitative", "title": "t"}
    content = {
        "encoding": {"x": {**axis, "field": "images_seen"}, "y": {**axis, "field": "accuracy"}},
        "data": {
            "values": [
                {"rev": "main", "filename": file, "images_seen": x, "accuracy": x / 10}
                for file in files
                for x in (0, 5)
            ]
        },
    }
    plots = {"data": {"Curves": [{"content": content, "revisions": ["main", "workspace"]}]}}
    drawn = list(changes.charts(plots))
    assert all(f'"{changes.COLOURS["blue"]}"' in each for each in drawn)  # main has it, alone
    titles = [re.findall(r'title "(.*)"', each) for each in drawn]
    assert titles == [["Curves - mnist-digits"], ["Curves - mnist-random"]]
