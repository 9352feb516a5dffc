"""Jobs on a Ray cluster of two nodes: the same results and files; what dies is replaced."""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import local_cluster as clusters
from bench.local_cluster import Cluster
from tests import workspace

pytest.importorskip("ray", reason="pip install -r requirements-cluster.txt")

# Trainings that keep a checkpoint at every step; what runs is a program as a stage is one.
TRAININGS = """
import sys
from dataclasses import replace
from handwriting.data import dataset
from handwriting.training import engine, model, runs
from handwriting.training.checkpoint import Run
from handwriting.training.engine import Cluster
from pathlib import Path
from tests.networks import COMPUTE, PLAN, SHAPE, split

def trained(job, data, compute, scratch):
    from handwriting.training import resume, runs
    resume._INTERVAL = 0
    return runs.train_one(job, data, compute, scratch)

if __name__ == "__main__":
    engine.cluster = lambda: Cluster(address=sys.argv[1])
    plans = [replace(PLAN, epochs=float(sys.argv[2]), seed=seed) for seed in range(2)]
    networks = [model.fresh(SHAPE, "a test", seed) for seed in range(2)]
    jobs = [
        runs.Job(Run(data="noise", seed=i), network, plan)
        for i, (network, plan) in enumerate(zip(networks, plans))
    ]
    compute = replace(COMPUTE, processes=int(sys.argv[3]))
    train = trained if compute.processes == 1 else runs.train_one
    data = runs.Data(split(320))
    Path("scratch").mkdir(exist_ok=True)
    done = engine.map(train, jobs, compute, data, compute, Path("scratch"))
    states = [each.saved.network.state_dict().values() for each in done]
    print("digests", *(dataset.digest(*(each.numpy() for each in state)) for state in states))
"""
FAILING = """
import signal, sys, time
from handwriting.core.errors import InputError
from handwriting.training import engine
from handwriting.training.engine import Cluster
from tests.networks import COMPUTE

def work(job, base):
    if job == 3:
        raise InputError(f"{job} is not wanted") if base else ValueError("a bug")
    time.sleep(600 if job == 4 else 0)
    return job + base

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # not so in the background
    engine.cluster = lambda: Cluster(address=sys.argv[1])
    try:
        print(engine.map(work, list(map(int, sys.argv[3].split())), COMPUTE, int(sys.argv[2])))
    except InputError as error:
        sys.exit(f"error: {error}")
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with clusters.cluster() as made:
        yield made


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, with the programs of these tests."""
    folder = tmp_path_factory.mktemp("project")
    workspace.copy_project(folder)
    (folder / "trainings.py").write_text(TRAININGS)
    (folder / "failing.py").write_text(FAILING)
    return folder


def output(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=clusters.PATIENCE)[0]


def digests(text: str) -> list[str]:
    lines = [line.split()[1:] for line in text.splitlines() if line.startswith("digests")]
    assert len(lines) == 1, text
    return lines[0]


def here(project: Path, epochs: str) -> list[str]:
    """The digests of the trainings on this machine alone."""
    done = workspace.run(project, sys.executable, "trainings.py", "", epochs, "1")
    return digests(done.stdout)


def test_results_come_back_in_the_order_of_the_jobs(cluster: Cluster, project: Path) -> None:
    done = cluster.run(project, sys.executable, "failing.py", cluster.address, "10", "2 1 9 5 0")
    assert "[12, 11, 19, 15, 10]" in output(done)


def test_a_job_that_fails_ends_all_at_once_by_its_own_error(
    cluster: Cluster, project: Path
) -> None:
    for base, expected in (("1", "error: 3 is not wanted"), ("0", "in the job 3")):
        command = [sys.executable, "failing.py", cluster.address, base, "4 3 4"]
        process = cluster.run(project, *command)
        assert expected in output(process)
        assert process.returncode == 1


def test_trainings_there_have_the_bits_of_trainings_here(cluster: Cluster, project: Path) -> None:
    process = cluster.run(project, sys.executable, "trainings.py", cluster.address, "1", "1")
    assert digests(output(process)) == here(project, "1")


def test_who_has_no_token_is_not_let_in(cluster: Cluster, project: Path) -> None:
    stranger = Cluster(cluster.prefix, cluster.folder)  # with another token
    process = stranger.run(project, sys.executable, "failing.py", cluster.address, "1", "1")
    said = output(process)
    assert process.returncode == 1
    assert f"error: params.yaml: cluster.address: {cluster.address}: " in said.splitlines()[-1]
    assert "Traceback" not in said


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "ray://127.0.0.1:1", "auto"])
def test_an_address_without_a_cluster_is_one_clear_line(address: str, project: Path) -> None:
    command = [sys.executable, "failing.py", address, "1", "1"]
    done = workspace.run(project, *command, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: params.yaml: cluster.address: {address}: ")
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_leaves_no_job_running(cluster: Cluster, project: Path) -> None:
    process = cluster.run(project, sys.executable, "failing.py", cluster.address, "1", "4 4")
    since = time.monotonic()
    while len(jobs := cluster.jobs("ray::4")) < 2:
        clusters.wait_for("two jobs", jobs, since)
    process.send_signal(signal.SIGINT)
    output(process)
    while left := clusters.alive(jobs):
        clusters.wait_for("end", left, since)


@pytest.mark.slow
def test_what_is_killed_goes_on_after_its_checkpoint_to_the_same_bits(project: Path) -> None:
    epochs, title = "500", "noise from random, full, all labels, 0"
    files = [project / f"scratch/noise-from-random-full-all-labels-{i}.checkpoint" for i in (0, 1)]
    with clusters.cluster() as made:
        process = made.run(project, sys.executable, "trainings.py", made.address, epochs, "1")

        def wait_for_checkpoints() -> None:
            since, now = time.monotonic(), time.time()
            while not all(each.exists() and each.stat().st_mtime > now for each in files):
                assert process.poll() is None, "it ended too soon"
                clusters.wait_for("checkpoints", files, since)

        wait_for_checkpoints()
        made.jobs(f"ray::{title}")[0].kill()
        wait_for_checkpoints()
        made.raylet(1).kill()
        said = process.communicate(timeout=5 * clusters.PATIENCE)[0]
    resumed = re.findall(r"resumes after step ([\d,]+)", said)
    assert len(resumed) >= 2, said
    assert "0" not in resumed
    assert digests(said) == here(project, epochs)


@pytest.mark.slow
def test_several_processes_of_a_training_start_on_one_node(project: Path) -> None:
    with clusters.cluster(cores=2) as made:
        process = made.run(project, sys.executable, "trainings.py", made.address, "1", "2")
        assert len(digests(output(process))) == 2


@pytest.mark.slow
def test_a_run_of_the_sample_on_a_cluster_has_the_locks_of_one_machine(
    reproduced: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "clone"
    shutil.copytree(reproduced, folder, ignore=shutil.ignore_patterns("tmp"))
    with clusters.cluster() as made:
        params = workspace.read_params(folder)
        params["cluster"]["address"] = made.address
        workspace.write_params(folder, params)
        process = made.run(folder, "dvc", "repro", "--force")
        said = process.communicate()[0]
    assert process.returncode == 0, said
    for path in workspace.locks(folder):
        assert (folder / path).read_text() == (reproduced / path).read_text()


def test_without_ray_the_error_says_what_to_install() -> None:
    hidden = "import sys; sys.modules['ray'] = None; "
    program = (
        "from handwriting.training import engine; from tests.networks import COMPUTE;"
        "engine.cluster = lambda: engine.Cluster(address='auto', gpu_share=1);"
        "engine.map(abs, [1], COMPUTE)"
    )
    done = workspace.run(workspace.ROOT, sys.executable, "-c", hidden + program, check=False)
    assert done.stderr.splitlines()[-1].endswith(
        "params.yaml: cluster.address needs Ray: pip install -r requirements-cluster.txt"
    )


def test_the_project_does_not_import_ray() -> None:
    program = "import sys, stages.mnist.finetune; sys.exit('ray' in sys.modules)"
    workspace.run(workspace.ROOT, sys.executable, "-c", program)
