"""Remotes on real servers that break, and `make verify`."""

import hashlib
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
import yaml

from tests import workspace
from tests.servers import KINDS, Server
from tests.workspace import ROOT, run

FILES, FILE_SIZE = 24, 200_000


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What DVC remembers of files and remotes is this test's alone."""
    monkeypatch.setitem(workspace.ENVIRONMENT, "DVC_SITE_CACHE_DIR", str(tmp_path / "site"))


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("webdav", "s3")]


@pytest.fixture(params=["folder", "ssh", *SLOW])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    started = KINDS[request.param](tmp_path / "server").start()
    yield started
    started.kill()


@pytest.fixture(scope="session")
def tiny_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a folder and a file of random bytes as outputs."""
    folder = tmp_path_factory.mktemp("made") / "tiny"
    run(tmp_path_factory.getbasetemp(), "git", "init", "--quiet", "-b", "main", str(folder))
    run(folder, "dvc", "init", "--quiet")
    for name in (".dvc/config", "Makefile"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".gitignore").write_text("/artifacts/\n")
    random, out = Random(1), folder / "artifacts/out"
    out.mkdir(parents=True)
    for i in range(FILES):
        (out / str(i)).write_bytes(random.randbytes(FILE_SIZE))
    (out.parent / "one").write_bytes(random.randbytes(5))
    stage = {"cmd": "python make.py", "outs": ["artifacts/out", "artifacts/one"]}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": stage}}))
    run(folder, "dvc", "commit", "--force")
    workspace.commit(folder, "start")
    return folder


@pytest.fixture
def tiny(tiny_made: Path, tmp_path: Path) -> Path:
    ignore = shutil.ignore_patterns("tmp")
    return Path(shutil.copytree(tiny_made, tmp_path / "tiny", ignore=ignore))


def name_remote(folder: Path, server: Server) -> None:
    """As docs/dvc.md says, with .dvc/config committed."""
    run(folder, "dvc", "remote", "add", "--default", "storage", server.url)
    run(folder, "dvc", "remote", "modify", "storage", "verify", "true")
    for setting in server.settings.items():
        run(folder, "dvc", "remote", "modify", "--local", "storage", *setting)
    assert run(folder, "git", "status", "--porcelain").stdout == " M .dvc/config\n"
    workspace.commit(folder, "remote")


def clone(folder: Path, target: Path) -> Path:
    """A fresh clone, which is given the credentials."""
    run(target.parent, "git", "clone", "--quiet", str(folder), str(target))
    if (folder / ".dvc/config.local").exists():
        shutil.copy(folder / ".dvc/config.local", target / ".dvc/config.local")
    return target


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def objects(store: Path) -> dict[Path, str]:
    """The objects under their final names, and these; run-cache records left out."""
    found = (store / "files/md5").glob("??/*")
    names = {path: path.parent.name + path.name.removesuffix(".dir") for path in found}
    return {path: name for path, name in names.items() if len(name) == 32}


def broken(store: Path) -> list[str]:
    """The objects whose content does not match their name."""
    return [name for path, name in objects(store).items() if md5(path) != name]


def written(folder: Path) -> dict[str, str]:
    """The digest of every output file."""
    files = (path for path in folder.glob("artifacts/**/*") if path.is_file())
    return {str(path.relative_to(folder)): md5(path) for path in files}


def corrupt(path: Path) -> None:
    """Flip one bit of a file."""
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    path.chmod(0o444)


def failed(folder: Path, *command: str) -> str:
    """The error of a command, which is no traceback."""
    done = run(folder, *command, check=False)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


def interrupted(folder: Path, server: Server, arrived: Path, verb: str) -> None:
    """Run DVC, kill the server once some objects have arrived, and start it again."""
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(failed, folder, "dvc", verb, "--jobs", "1")
        while not error.done() and len(objects(arrived)) < FILES // 6:
            time.sleep(0.001)
        server.kill()
        assert "ERROR: " in error.result()
    server.start()


def test_kills_and_damaged_objects_are_survived(server: Server, tiny: Path, tmp_path: Path) -> None:
    """A push or pull after a kill completes; a damaged object is refused, and replaced."""
    second = tmp_path / "second"
    on_disk = not server.url.startswith("s3:")  # moto keeps its objects in memory
    name_remote(tiny, server)
    if server.process and on_disk:
        interrupted(tiny, server, server.store, "push")
    run(tiny, "dvc", "push")
    assert broken(server.store) == []
    clone(tiny, second)
    if server.process and on_disk:
        interrupted(second, server, second / ".dvc/cache", "pull")
        assert broken(second / ".dvc/cache") == []
    run(second, "dvc", "pull")
    assert written(second) == written(tiny)
    if not on_disk:
        return

    victim = max(objects(server.store), key=lambda path: path.stat().st_size)
    corrupt(victim)
    third = clone(tiny, tmp_path / "third")
    assert "ERROR: failed to pull" in failed(third, "dvc", "pull")
    assert broken(third / ".dvc/cache") == []
    folder = server.store / "files/md5"  # as docs/dvc.md says
    done = run(tiny, "make", "--no-print-directory", "verify", f"STORE={folder}", check=False)
    assert (done.returncode, done.stdout) == (2, f"./{victim.relative_to(folder)}: FAILED\n")
    for path in (victim, *folder.glob("??/*.dir")):
        path.unlink()
    run(tiny, "dvc", "push")
    run(third, "dvc", "pull")
    assert written(third) == written(tiny)


def test_a_damaged_object_in_the_cache_and_its_copy_are_replaced(
    tiny: Path, tmp_path: Path
) -> None:
    name_remote(tiny, Server(tmp_path / "server"))
    run(tiny, "dvc", "push")
    sound = written(tiny)
    name = sound["artifacts/out/3"]
    victim = tiny / ".dvc/cache/files/md5" / name[:2] / name[2:]
    corrupt(victim)
    shutil.rmtree(tiny / "artifacts")
    run(tiny, "dvc", "checkout")  # DVC takes it: this is why there is `make verify`
    assert written(tiny) != sound
    said = run(tiny, "make", "--no-print-directory", "verify", check=False).stdout
    assert said == f"./{name[:2]}/{name[2:]}: FAILED\n"
    victim.unlink()
    shutil.rmtree(tiny / "artifacts")
    run(tiny, "dvc", "pull")
    assert written(tiny) == sound
    run(tiny, "make", "--no-print-directory", "verify")
