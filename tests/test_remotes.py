"""DVC's remotes on real servers, as they should be and as they break."""

import hashlib
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import workspace
from tests.servers import KINDS, Server
from tests.workspace import run

FILES, FILE_SIZE = 24, 200_000


def slow(kind: str) -> object:
    return pytest.param(kind, marks=pytest.mark.slow)


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What DVC remembers of files and remotes is this test's alone."""
    monkeypatch.setitem(workspace.ENVIRONMENT, "DVC_SITE_CACHE_DIR", str(tmp_path / "site"))


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    started = KINDS[request.param](tmp_path / "server").start()
    yield started
    started.kill()


def name_remote(folder: Path, server: Server) -> None:
    """What `make remote` runs, and its .dvc/config committed."""
    words = [f"{option}={value}" for option, value in server.settings.items()]
    run(folder, "python", "-m", "tools.remote", server.url, *words)
    assert run(folder, "git", "status", "--porcelain").stdout == " M .dvc/config\n"
    workspace.commit(folder, "remote")


def clone(folder: Path, target: Path) -> Path:
    """A fresh clone, which is told what the committed config does not hold."""
    run(target.parent, "git", "clone", "--quiet", str(folder), str(target))
    local = folder / ".dvc/config.local"
    if local.exists():
        shutil.copy(local, target / ".dvc/config.local")
    return target


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def objects(store: Path) -> list[Path]:
    """The objects under their final names, run-cache records apart."""
    found = (store / "files/md5").glob("??/*")
    return [path for path in found if len(path.name.removesuffix(".dir")) == 30]


def broken(store: Path) -> list[str]:
    """The objects whose content is not what their name says."""
    return [
        path.name
        for path in objects(store)
        if md5(path) != path.parent.name + path.name.removesuffix(".dir")
    ]


def written(folder: Path) -> dict[str, str]:
    """The digest of every file that is an output."""
    stages = workspace.read_lock(folder)["stages"].values()
    paths = [folder / out["path"] for stage in stages for out in stage.get("outs", [])]
    files = [each for path in paths for each in (path.rglob("*") if path.is_dir() else [path])]
    return {str(path.relative_to(folder)): md5(path) for path in files if path.is_file()}


@pytest.mark.parametrize(
    "server", ["folder", slow("ssh"), slow("webdav"), slow("s3")], indirect=True
)
def test_a_clone_that_pulls_has_everything_and_runs_nothing(
    server: Server, committed: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    shutil.copytree(committed, first)
    name_remote(first, server)
    run(first, "dvc", "push", "--run-cache")
    pushed = objects(server.store)
    assert len(pushed) <= 100
    assert pushed or server.url.startswith("s3:")  # moto keeps them in memory
    second = clone(first, tmp_path / "second")
    run(second, "dvc", "pull", "--allow-missing")
    assert written(second) == written(first)
    said = run(second, "dvc", "repro", "--pull", "--allow-missing").stdout
    assert "Running stage" not in said
    assert "up to date" in said
    run(second, "dvc", "fetch", "--run-cache")
    assert list((second / ".dvc/cache/runs").glob("*/*/*"))
    assert run(second, "git", "status", "--porcelain").stdout == ""


@pytest.mark.slow
def test_without_the_lock_only_the_stages_that_write_into_git_run(
    committed: Path, tmp_path: Path
) -> None:
    """What a stage writes into git is not in the run-cache of another machine."""
    first = tmp_path / "first"
    shutil.copytree(committed, first)
    name_remote(first, Server(tmp_path / "server"))
    run(first, "dvc", "push", "--run-cache")
    second = clone(first, tmp_path / "second")
    (second / "dvc.lock").unlink()
    run(second, "dvc", "pull", "--run-cache", check=False)
    said = run(second, "dvc", "repro", "--pull").stdout
    ran = {line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")}
    assert ran <= set(workspace.metric_owners(second)), said
    made = written(second)
    assert any(path.endswith(".pt") for path in made)
    assert made.items() <= written(first).items()  # the other source is in the old lock alone


@pytest.fixture(scope="session")
def tiny_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the project's tools, and one folder of random files for an output."""
    folder = tmp_path_factory.mktemp("made") / "tiny"
    for name in ("tools", "stages"):
        hidden = shutil.ignore_patterns("__pycache__", "*.min.js")  # room on the small disk
        shutil.copytree(workspace.ROOT / name, folder / name, ignore=hidden)
    run(folder, "git", "init", "--quiet", "--initial-branch", "main")
    run(folder, "dvc", "init", "--quiet")
    shutil.copy(workspace.ROOT / ".dvc/config", folder / ".dvc/config")
    (folder / "dvc.yaml").write_text(
        "stages:\n  make:\n    cmd: python make.py\n    outs: [out, one.bin]\n"
    )
    (folder / ".gitignore").write_text("/out\n/one.bin\n__pycache__\n")
    (folder / "make.py").write_text(
        "import pathlib, random\nr = random.Random(1)\npathlib.Path('out').mkdir()\n"
        f"for i in range({FILES}): open(f'out/{{i}}', 'wb').write(r.randbytes({FILE_SIZE}))\n"
        "open('one.bin', 'wb').write(r.randbytes(5))\n"
    )
    run(folder, "dvc", "repro")
    workspace.commit(folder, "start")
    return folder


@pytest.fixture
def tiny(tiny_made: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_made, folder, ignore=shutil.ignore_patterns("tmp"))
    return folder


def interrupted(folder: Path, server: Server, arrived: Path, verb: str) -> None:
    """Run DVC, and kill the server once some objects have arrived: an error, and no traceback."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            if len(objects(arrived)) >= FILES // 6:
                server.kill()
                return
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    done = run(folder, "dvc", verb, "--jobs", "1", check=False)
    over.set()
    watcher.join()
    assert done.returncode != 0, done.stdout
    assert "ERROR: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("server", ["ssh", slow("webdav")], indirect=True)
def test_a_server_killed_in_a_push_is_an_error_and_the_next_push_ends_well(
    server: Server, tiny: Path, tmp_path: Path
) -> None:
    name_remote(tiny, server)
    interrupted(tiny, server, server.store, "push")
    server.start()
    run(tiny, "dvc", "push")
    assert broken(server.store) == []
    second = clone(tiny, tmp_path / "second")
    run(second, "dvc", "pull")
    assert written(second) == written(tiny)


@pytest.mark.parametrize("server", [slow("ssh"), slow("webdav")], indirect=True)
def test_a_server_killed_in_a_pull_is_an_error_and_the_next_pull_ends_well(
    server: Server, tiny: Path, tmp_path: Path
) -> None:
    name_remote(tiny, server)
    run(tiny, "dvc", "push")
    second = clone(tiny, tmp_path / "second")
    interrupted(second, server, second / ".dvc/cache", "pull")
    assert broken(second / ".dvc/cache") == []
    server.start()
    run(second, "dvc", "pull")
    assert written(second) == written(tiny)


def corrupt(path: Path) -> None:
    """One bit of a file is another, and nothing else of it."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize("server", ["folder", slow("ssh")], indirect=True)
def test_a_corrupt_object_on_the_remote_is_refused_and_mended_from_a_clone_that_has_it(
    server: Server, tiny: Path, tmp_path: Path
) -> None:
    name_remote(tiny, server)
    run(tiny, "dvc", "push")
    victim = max(objects(server.store), key=lambda path: path.stat().st_size)
    corrupt(victim)
    second = clone(tiny, tmp_path / "second")
    done = run(second, "dvc", "pull", check=False)
    assert done.returncode != 0
    assert "ERROR: failed to pull" in done.stderr
    assert broken(second / ".dvc/cache") == []
    assert len(objects(second / ".dvc/cache")) == len(objects(server.store)) - 1
    said = run(tiny, "python", "-m", "tools.verify", "--remote").stdout
    assert said.startswith(f"damaged, and replaced: {victim}\n")
    run(second, "dvc", "pull")
    assert written(second) == written(tiny)


def test_a_corrupt_object_on_the_remote_that_this_clone_has_not_is_taken_out(
    tiny: Path, tmp_path: Path
) -> None:
    server = Server(tmp_path / "server")
    name_remote(tiny, server)
    run(tiny, "dvc", "push")
    victim = objects(server.store)[0]
    corrupt(victim)
    second = clone(tiny, tmp_path / "second")
    done = run(second, "python", "-m", "tools.verify", "--remote", check=False)
    assert done.returncode == 1
    assert f"damaged, and removed: {victim}; this clone has no sound copy of it" in done.stdout
    assert not victim.exists()


def test_a_corrupt_object_in_the_cache_is_found_and_fetched_again(
    tiny: Path, tmp_path: Path
) -> None:
    name_remote(tiny, Server(tmp_path / "server"))
    run(tiny, "dvc", "push")
    sound = written(tiny)
    victim = tiny / ".dvc/cache/files/md5" / sound["out/3"][:2] / sound["out/3"][2:]
    corrupt(victim)
    shutil.rmtree(tiny / "out")
    run(tiny, "dvc", "checkout")  # DVC takes it: this is why there is `make verify`
    assert written(tiny) != sound
    said = run(tiny, "python", "-m", "tools.verify", check=False)
    assert said.returncode == 1
    removed = [line for line in said.stdout.splitlines() if line.startswith("damaged")]
    assert removed == [f"damaged, and removed: {path}" for path in ("out/3", victim)]
    run(tiny, "dvc", "pull")
    assert written(tiny) == sound
    assert run(tiny, "python", "-m", "tools.verify").returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for half of the objects."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = f"size={FILES * FILE_SIZE // 2}"
    done = run(tmp_path, "mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder), check=False)
    if done.returncode != 0:
        pytest.skip("a small disk takes a user who may mount one")
    yield folder
    run(tmp_path, "umount", "--lazy", str(folder))


def make_room(disk: Path) -> None:
    run(disk.parent, "mount", "-o", f"remount,size={4 * FILES * FILE_SIZE}", str(disk))


def test_a_full_disk_under_the_remote_is_an_error_and_with_room_the_push_ends_well(
    tiny: Path, small_disk: Path, tmp_path: Path
) -> None:
    server = Server(small_disk / "server")
    name_remote(tiny, server)
    done = run(tiny, "dvc", "push", check=False)
    assert done.returncode != 0
    assert "No space left on device" in done.stderr
    assert broken(server.store) == []
    make_room(small_disk)
    run(tiny, "dvc", "push")
    second = clone(tiny, tmp_path / "second")
    run(second, "dvc", "pull")
    assert written(second) == written(tiny)


@pytest.mark.slow
def test_a_full_disk_under_the_clone_is_an_error_and_with_room_the_pull_ends_well(
    tiny: Path, small_disk: Path, tmp_path: Path
) -> None:
    name_remote(tiny, Server(tmp_path / "server"))
    run(tiny, "dvc", "push")
    second = clone(tiny, small_disk / "second")
    done = run(second, "dvc", "pull", check=False)
    assert done.returncode != 0
    assert "No space left on device" in done.stderr
    assert broken(second / ".dvc/cache") == []
    make_room(small_disk)
    run(second, "dvc", "pull")
    assert written(second) == written(tiny)


def test_a_remote_that_does_not_answer_is_one_line_and_what_logs_in_stays_out_of_git(
    tiny: Path,
) -> None:
    words = ("ssh://someone@127.0.0.1:1/store", "password=hush", "timeout=1")
    done = run(tiny, "python", "-m", "tools.remote", *words, check=False)
    assert done.returncode != 0
    assert re.fullmatch(r"remote: ssh://\S+ does not answer: .*\n", done.stderr)
    assert len(done.stderr.splitlines()) == 1
    assert "hush" not in (tiny / ".dvc/config").read_text()
    assert "hush" in (tiny / ".dvc/config.local").read_text()
    assert "timeout = 1" in (tiny / ".dvc/config").read_text()
    run(tiny, "git", "checkout", "--quiet", ".dvc/config")  # as on a branch without the remote
    run(tiny, "dvc", "status")
    run(tiny, "python", "-m", "tools.remote", "--forget")
    assert "hush" not in (tiny / ".dvc/config.local").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ftp://127.0.0.1/x"], "ftp:// is none of: a folder, ssh, s3, webdav"),
        (["ssh://me:hush@127.0.0.1/x"], "a password in the URL would be committed"),
        ([".", "port"], "a setting is option=value, which 'port' is not"),
        ([".", "colour=red"], "extra keys not allowed"),
    ],
)
def test_a_bad_remote_is_one_clear_line_and_changes_nothing(
    tiny: Path, words: list[str], said: str
) -> None:
    done = run(tiny, "python", "-m", "tools.remote", *words, check=False)
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert run(tiny, "git", "status", "--porcelain").stdout == ""
    assert not (tiny / ".dvc/config.local").exists()


def test_a_bad_remote_leaves_the_one_before_as_it_was(tiny: Path, tmp_path: Path) -> None:
    files = [tiny / ".dvc/config", tiny / ".dvc/config.local"]
    run(tiny, "python", "-m", "tools.remote", "ssh://127.0.0.1/x", "password=hush", check=False)
    before = [path.read_bytes() for path in files]
    done = run(tiny, "python", "-m", "tools.remote", str(tmp_path), "colour=red", check=False)
    assert done.returncode != 0
    assert [path.read_bytes() for path in files] == before
