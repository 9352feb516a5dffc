"""kill -9 at random moments of every stage, then `dvc repro`: the same bytes in the end."""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import workspace
from tests.test_pipeline import instances
from tests.workspace import run

pytestmark = pytest.mark.slow

KILLS = 10  # of each kind of stage, by turns of the whole process group and of dvc alone
END = 200  # bytes of dvc.lock, which DVC writes in place: without them it is cut off
PATIENCE = 120  # seconds for what takes one or two


@dataclass(frozen=True)
class Victim:
    """A clone in which stages are killed, beside one in which the same ran in peace."""

    folder: Path
    peace: Path

    def command(self, name: str) -> list[str]:
        """The command line of a stage."""
        command: str = workspace.read_lock(self.peace)[name]["cmd"]
        return command.split()

    def seconds(self, name: str) -> float:
        """How long the stage takes that nobody kills, without dvc."""
        start = time.monotonic()
        run(self.folder, *self.command(name))
        return time.monotonic() - start

    def kill(self, name: str, moment: float, alone: bool) -> None:
        """Have dvc run the stage, and kill dvc or the whole group `moment` seconds into it."""
        lock = self.folder / f"{name.partition(':')[0].removesuffix('yaml')}lock"
        end = lock.read_bytes()[-END:]
        process = subprocess.Popen(
            ["dvc", "repro", "--force", "--single-item", name],
            cwd=self.folder,
            env=workspace.ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        module = self.command(name)[2].encode()
        wait(lambda: process.poll() is not None or module in b"".join(children(process.pid)))
        time.sleep(moment)
        if process.poll() is None and alone:
            process.kill()
        elif process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        printed = process.communicate()[0].decode()
        if process.returncode not in (0, -signal.SIGKILL):
            self.mend(printed)
        if not lock.read_bytes().endswith(end):
            self.mend("dvc.lock, silently: what is left of it can be valid, with fewer stages")

    def repro(self, *names: str) -> None:
        """Reproduce, and again where a killed dvc has left a part of a file of its own."""
        done = run(self.folder, "dvc", "repro", *names, check=False)
        if done.returncode:
            self.mend(done.stdout + done.stderr)
            run(self.folder, "dvc", "repro", *names)

    def mend(self, error: str) -> None:
        """Restore one of the two kinds of files that DVC does not write in one step."""
        if "rwlock" in error:
            (self.folder / ".dvc/tmp/rwlock").unlink()
        elif "dvc.lock" in error:
            run(self.folder, "git", "checkout", *workspace.locks(self.folder))
        else:
            pytest.fail(error)

    def at_work(self) -> bool:
        """Whether a process of a stage is left in the clone."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                here = (entry / "cwd").readlink() == self.folder
                if here and b"stages." in (entry / "cmdline").read_bytes():
                    return True
            except OSError:  # it has ended
                continue
        return False

    def check_outputs(self) -> None:
        """What is there under its final name is whole: the bytes that the run in peace wrote."""
        for path in self.outputs():
            expected = self.peace / path.relative_to(self.folder)
            assert path.read_bytes() == expected.read_bytes(), path

    def outputs(self) -> Iterator[Path]:
        for folder in ("data/raw", "data/images", "data/tensors", "artifacts", "metrics/sample"):
            yield from (path for path in (self.folder / folder).rglob("*") if path.is_file())


def children(process: int) -> Iterator[bytes]:
    """The command lines of the children of a process."""
    try:
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            yield Path(f"/proc/{child}/cmdline").read_bytes()
    except OSError:  # it has ended
        return


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def victim(reproduced: Path, tmp_path: Path) -> Victim:
    """A clone of a commit that has the lock files, without what they list."""
    peace, folder = tmp_path / "peace", tmp_path / "clone"
    shutil.copytree(reproduced, peace, ignore=shutil.ignore_patterns("tmp", "cache"))
    workspace.commit(peace, "reproduced")
    run(tmp_path, "git", "clone", "--quiet", str(peace), str(folder))
    shutil.rmtree(folder / "metrics")
    return Victim(folder, peace)


def test_kills_at_random_moments_change_no_byte(victim: Victim) -> None:
    moments = random.Random(0)
    every = {name.partition("@")[0]: name for name in instances() if "@" in name}
    for name in every.values():  # an instance of each kind of stage
        if before := upstream(victim.folder, name):
            victim.repro(*before)
        seconds = victim.seconds(name)
        for i in range(KILLS):
            victim.kill(name, moments.uniform(0, seconds), alone=i % 2 == 0)
            if i % 2:
                victim.check_outputs()
        wait(lambda: not victim.at_work())
        victim.check_outputs()
        victim.repro(name)
    victim.repro()
    assert workspace.locks(victim.folder) == workspace.locks(victim.peace)
    victim.check_outputs()
    there = {path.relative_to(victim.folder) for path in victim.outputs()}
    assert there == {p.relative_to(victim.peace) for p in Victim(victim.peace, Path()).outputs()}


def upstream(folder: Path, name: str) -> list[str]:
    """The stages that a stage reads from."""
    dag = run(folder, "dvc", "dag", "--dot", name).stdout
    return re.findall(rf'"([^"]+)" -> "{re.escape(name)}"', dag)
