"""A Ray cluster of two nodes on loopback, in a network of its own where the machine allows it.

For the bench and the tests.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import psutil

PATIENCE = 180  # seconds for what takes ten
RAY = str(Path(sys.executable).parent / "ray")


class Cluster:
    """Its address, what is put before a command to be there, and its nodes' processes."""

    def __init__(self, prefix: list[str], folder: Path, cores: int = 1) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.cores = cores
        self.address, self.prefix, self.folder = f"127.0.0.1:{self.port}", prefix, folder
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONHASHSEED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self.nodes: list[psutil.Popen] = []

    def start(self, *options: str) -> None:
        """Start a node."""
        where = [
            "--node-ip-address=127.0.0.1",
            f"--num-cpus={self.cores}",
            "--object-store-memory=100000000",
        ]
        command = [*self.prefix, RAY, "start", "--block", *where, *options]
        started = psutil.Popen(
            command,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.nodes.append(started)

    def run(self, folder: Path, *command: str) -> subprocess.Popen[str]:
        """Start a command that can see the cluster; both its streams are one."""
        return subprocess.Popen(
            [*self.prefix, *command],
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def raylet(self, number: int) -> psutil.Process:
        """The process that is a node to Ray."""
        found = [each for each in family(self.nodes[number]) if each.name() == "raylet"]
        assert len(found) == 1
        return found[0]

    def jobs(self, title: str) -> list[psutil.Process]:
        """The workers that do a job whose title has this in it."""
        everything = [each for node in self.nodes for each in family(node)]
        return [each for each in everything if title in " ".join(command_of(each))]


def family(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def command_of(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return process.cmdline()
    return []


def wait_for(what: str, found: object, since: float) -> None:
    assert time.monotonic() < since + PATIENCE, f"no {what} after {PATIENCE} s: {found}"
    time.sleep(0.05)


@contextmanager
def network() -> Iterator[list[str]]:
    """What is put before a command to run it in a network of its own, if there can be one."""
    make = ["unshare", "--map-root-user", "--net", "--kill-child", "--fork"]
    loop = "ip link set lo up && echo up && exec sleep infinity"
    if not shutil.which("nsenter") or not shutil.which("ip"):
        yield []
        return
    holder = subprocess.Popen([*make, "sh", "-c", loop], stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    with holder.stdout as said:
        allowed = said.readline() == "up\n"
    try:
        if not allowed:
            yield []
            return
        inside = psutil.Process(holder.pid).children()[0].pid
        yield ["nsenter", f"--target={inside}", "--user", "--net", "--preserve-credentials"]
    finally:
        holder.kill()
        holder.wait()


@contextmanager
def cluster(prefix: list[str] | None = None, cores: int = 1) -> Iterator[Cluster]:
    """Two nodes, which end with the block; a `prefix` is instead of a network of their own."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # names of sockets must be short
    with network() if prefix is None else nullcontext(prefix) as found:
        made = Cluster(found, folder, cores)
        try:
            made.start(
                "--head", f"--port={made.port}", "--include-dashboard=false", f"--temp-dir={folder}"
            )
            made.start(f"--address={made.address}")
            yield made
        finally:
            everything = [each for node in made.nodes for each in family(node)]
            for process in everything:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(everything, PATIENCE)
            shutil.rmtree(folder, ignore_errors=True)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [each for each in processes if each.is_running() and each.status() != "zombie"]
