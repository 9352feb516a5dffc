"""Real servers on loopback that keep DVC's objects: OpenSSH, WebDAV, S3, and a folder."""

import getpass
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests

from tests import workspace

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")


class Server:
    """Keeps objects in `store`; `url` and `settings` are what DVC must be told of it.

    `settings` are options of `dvc remote modify`. A local folder is a server without a program.
    """

    form = "{0.store}"  # of the URL

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, folder / "store"
        self.store.mkdir(parents=True)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = self.form.format(self, user=getpass.getuser())
        self.settings: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        return []

    def start(self) -> "Server":
        if not (command := self.command()):
            return self
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return self
            time.sleep(0.1)
        self.kill()
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        """As the power does: the program and whatever serves its connections."""
        if self.process and self.process.poll() is None:
            alive = psutil.Process(self.process.pid)
            for process in [*alive.children(recursive=True), alive]:
                process.kill()
            self.process.wait()


class Ssh(Server):
    """OpenSSH's own sshd on a port of its own, with keys that are thrown away."""

    form = "ssh://{user}@127.0.0.1:{0.port}{0.store}"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for name in ("host", "user"):
            workspace.run(folder, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name)
        (folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n"
            f"AuthorizedKeysFile {folder}/user.pub\nPidFile none\nStrictModes no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
            "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
        )
        self.settings = {"keyfile": f"{folder}/user"}

    def command(self) -> list[str]:
        if SSHD is None:
            pytest.skip("there is no sshd: apt-get install openssh-server")
        if getpass.getuser() == "root":
            Path("/run/sshd").mkdir(exist_ok=True)  # where it drops its privileges
        return [SSHD, "-D", "-e", "-f", str(self.folder / "config")]


class WebDav(Server):
    form = "webdav://127.0.0.1:{0.port}/"

    def command(self) -> list[str]:
        words = f"--host 127.0.0.1 --port {self.port} --root {self.store} --auth anonymous -q"
        return [sys.executable, "-m", "wsgidav.server.server_cli", *words.split()]


class S3(Server):
    """moto, which speaks S3 and holds the objects in memory: a kill loses them."""

    form = "s3://bucket/folder"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.settings = {"access_key_id": "key", "secret_access_key": "secret"}
        self.settings |= {"endpointurl": f"http://127.0.0.1:{self.port}", "region": "us-east-1"}

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def start(self) -> "Server":
        super().start()
        requests.put(f"http://127.0.0.1:{self.port}/bucket", timeout=60).raise_for_status()
        return self


KINDS: dict[str, type[Server]] = {"folder": Server, "ssh": Ssh, "webdav": WebDav, "s3": S3}
