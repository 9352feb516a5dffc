"""download: the files of params.yaml, from a mirror or their URLs, and no others."""

import gzip
import re
import shutil
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from handwriting.core.errors import InputError
from handwriting.raw.fetch import Archive
from stages.data import download
from tests import workspace
from tests.workspace import ROOT

BODY, OTHER = gzip.compress(b"right", mtime=0), gzip.compress(b"wrong", mtime=0)
DIGEST = sha256(BODY).hexdigest()
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
pytestmark = pytest.mark.usefixtures("tmp_dir")


def run(
    url: str, source: str = "real", digest: str | None = DIGEST, name: str = "a.gz", **policy: Any
) -> dict[str, bytes]:
    """Run the stage for one file, and return what is in its folder."""
    sections = {
        source: {"archives": {"mnist": {"urls": [url], "files": {name: digest}}}},
        "download": PARAMS["download"] | policy,
        "unzip": PARAMS["unzip"],
    }
    Path("params.yaml").write_text(yaml.safe_dump(sections))
    download.main(Path("scratch"), source, "mnist")
    return {path.name: path.read_bytes() for path in Path(f"data/raw/{source}/mnist").iterdir()}


def put(folder: str, content: bytes) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, "a.gz").write_bytes(content)


def test_other_files_are_deleted() -> None:
    put("archives", BODY)
    put("data/raw/real/mnist", OTHER)
    Path("data/raw/real/mnist/stale.gz").write_bytes(OTHER)
    assert run("archives") == {"a.gz": BODY}


def test_a_mirror_is_tried_first_but_for_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    put("mirror", BODY)
    put("archives", OTHER)
    for mirror in ("mirror", str(Path("mirror").resolve())):
        monkeypatch.setenv("DATA_MIRROR", mirror)
        assert run("archives", digest=None) == {"a.gz": BODY}
        assert run("archives", source="sample", digest=None) == {"a.gz": OTHER}


def test_a_missing_sample_is_named() -> None:
    with pytest.raises(InputError, match=r"data/sample/a\.gz: no such file\. Restore it"):
        run("data/sample", source="sample")
    assert not Path("data/raw").exists()


WRONG: dict[str, dict[str, Any]] = {
    "real.archives.mnist.files.a.gz": {"digest": "0" * 63},
    "real.archives.mnist.files.../a.gz": {"name": "../a.gz"},
    "real.archives.mnist.files.a.rar": {"name": "a.rar"},
    "download.attempts": {"attempts": 0},
}


@pytest.mark.parametrize("key", WRONG)
def test_params_are_checked(key: str) -> None:
    with pytest.raises(InputError, match=re.escape(key)):
        run("archives", **WRONG[key])


SECRETS = ["https://me:%s@a", "https://me:p@%s@a/b", "https://%s@a", "https://a/b?token=%s"]


@pytest.mark.parametrize("url", SECRETS)
def test_a_url_with_a_secret_is_refused_in_params_yaml_which_dvc_lock_repeats(url: str) -> None:
    with pytest.raises(
        InputError, match=r"real\.archives\.mnist\.urls\.0: .*DATA_MIRROR"
    ) as caught:
        run(url.replace("%s", "s3cr3t"))
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://www.dropbox.com/s/x?dl=0", "a?/b@c"])
def test_a_url_without_a_secret_is_taken(url: str) -> None:
    assert Archive(urls=[url], files={"a.gz": None}).urls == [url]


@pytest.mark.parametrize("url", SECRETS)
def test_a_mirrors_secret_is_neither_printed_nor_written(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    put("archives", BODY)
    run("archives")
    shutil.rmtree("data")
    mirror = (
        url.replace("%s", "s3cr3t").replace("@a", "@127.0.0.1:1").replace("//a", "//127.0.0.1:1")
    )
    settings = {"PYTHONPATH": str(ROOT), "DATA_MIRROR": mirror, "NO_PROXY": "*"}
    for name, value in settings.items():
        monkeypatch.setitem(workspace.ENVIRONMENT, name, value)
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("s: 5", "s: 1"))
    program = (sys.executable, "-m", "stages.data.download", "real", "mnist")
    found = workspace.run(Path(), *program)
    assert found.stderr.startswith("download: https://127.0.0.1:1/")
    assert found.stderr.endswith("Connection refused (attempt 1, the last)\n")
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert "data/raw/real/mnist/a.gz" in map(str, files)
    written = "".join(f"{path}{path.read_text('latin-1')}" for path in files)
    assert "s3cr3t" not in found.stdout + found.stderr + written


@pytest.mark.parametrize("stage", ["download", "unzip"])
def test_neither_numpy_nor_torch_is_imported(stage: str) -> None:
    code = f"import stages.data.{stage}, sys; print({{'numpy', 'torch'}} & set(sys.modules))"
    assert workspace.run(ROOT, sys.executable, "-c", code).stdout == "set()\n"


@pytest.mark.parametrize("stage", ["download", "unzip", "preprocess"])
def test_an_error_ends_the_program_in_one_line(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    monkeypatch.setitem(workspace.ENVIRONMENT, "PYTHONPATH", str(ROOT))
    program = (sys.executable, "-m", f"stages.data.{stage}", "real", "mnist")
    found = workspace.run(Path(), *program, check=False)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith(f"data.{stage}: params.yaml: ")
    assert found.stderr.count("\n") == 1
