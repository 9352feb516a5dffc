"""The package as other projects install it: light, without torch, with the same answers."""

import json
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from handwriting import Classifier
from handwriting.classifier import NAMES
from tests import pictures, workspace

LETTERS = [(48, 36), (96, 72), (300, 220), (1200, 900)]  # width, height
PREDICT = """
import json, sys, time
start = time.perf_counter()
import handwriting
spent = time.perf_counter() - start
classifier = handwriting.Classifier(sys.argv[1])
found = [each.probabilities.tolist() for each in classifier.predict(sys.argv[2:])]
heavy = sorted({"torch", "dvc", "pandas", "sklearn"} & {*sys.modules})
print(json.dumps({"seconds": spent, "found": found, "heavy": heavy}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = (sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", str(folder))
    workspace.run(workspace.ROOT, *uv)
    [found] = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_library_and_names_what_it_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = next(archive.read(each).decode() for each in names if each.endswith("/METADATA"))
    info = {name for name in names if ".dist-info/" in name}
    library = {
        str(path.relative_to(workspace.ROOT))
        for path in (workspace.ROOT / "handwriting").rglob("*.py")
        if path.parent.name != "reporting"
    }
    assert {name for name in names - info if name.endswith(".py")} == library
    assert all(name.startswith("handwriting/") for name in names - info)
    assert {f"handwriting/weights/{name}.onnx" for name in NAMES} <= names
    assert about.splitlines()[1] == "Name: handwriting"
    needed = re.findall(r"(?m)^Requires-Dist: ([\w.-]+)(?:\[.*\])?( ?; extra == '\w+')?$", about)
    light = {name for name, extra in needed if not extra}
    assert {"numpy", "pillow", "onnxruntime"} <= light
    assert not light & {"torch", "torchvision", "dvc", "pandas", "scikit-learn", "onnx"}
    assert {"torch", "dvc"} <= {name for name, extra in needed if "train" in extra}


@pytest.mark.slow
def test_an_installation_is_light_and_answers_as_torch_does_here(
    wheel: Path, reproduced: Path, tmp_path: Path
) -> None:
    """The pins of this checkout are the versions, so that answers can be compared."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = str(tmp_path / "venv/bin/python")
    pins = str(workspace.ROOT / "requirements.txt")
    install = ("uv", "pip", "install", "--quiet", "--python", python, "--constraint", pins)
    workspace.run(tmp_path, sys.executable, "-m", *install, str(wheel))
    packages = next((tmp_path / "venv/lib").glob("python*/site-packages"))
    installed = {path.name for path in packages.iterdir()}
    assert not installed & {"torch", "dvc", "pandas", "sklearn"}
    size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
    assert size < 400e6

    for i, side in enumerate(LETTERS):
        (tmp_path / f"{i}.png").write_bytes(pictures.encoded(pictures.letter(*side)))
    names = [f"{i}.png" for i in range(len(LETTERS))]
    folder = reproduced / "artifacts/sample"
    onnx, pt = (str(folder / f"characters.{kind}") for kind in ("onnx", "pt"))
    done = json.loads(workspace.run(tmp_path, python, "-c", PREDICT, onnx, *names).stdout)
    assert done["heavy"] == []
    assert done["seconds"] < 0.3
    classifier = Classifier(pt)
    for name, found in zip(names, done["found"], strict=True):
        probabilities = classifier.predict(tmp_path / name).probabilities
        assert found == pytest.approx(probabilities.tolist(), abs=1e-5)

    program = str(tmp_path / "venv/bin/handwriting")
    for given, wanted in {**dict(zip(NAMES, NAMES, strict=True)), onnx: pt}.items():
        table = workspace.run(tmp_path, program, "predict", "--model", given, *names).stdout
        here = Classifier(wanted)
        assert [line.split(",")[:2] for line in table.splitlines()[1:]] == [
            [name, here.predict(tmp_path / name).label] for name in names
        ]
    default = workspace.run(tmp_path, program, "predict", *names).stdout
    assert (
        default == workspace.run(tmp_path, program, "predict", "--model=characters", *names).stdout
    )
    command = [program, "predict", "--model", pt, *names]
    failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert failed.returncode == 1
    assert "needs torch: pip install 'handwriting[train]'" in failed.stderr
