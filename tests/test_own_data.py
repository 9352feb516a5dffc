"""`handwriting source add`: the settings and the pipeline of a source of one's own."""

import re
import shutil
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from handwriting import cli
from handwriting.core.files import read_csv
from handwriting.data.alphabet import CHARACTER_FOLDERS
from handwriting.raw.archives import Limits, content_digest
from tests import workspace
from tests.pages import sections
from tests.raw.packing import zipped
from tests.test_cli import tarred
from tests.test_pipeline import scores
from tests.test_sources import copied, ran, up_to_date
from tests.workspace import ROOT, run

PICTURE = b"P5 2 1 255\n\x00\xff"
SHAPES = ["circle", "NA", "star fish"]


def images(classes: list[str], each: int = 4, root: str = "shapes/") -> dict[str, bytes]:
    return {f"{root}{name}/{i}-w{i % 2}.pgm": PICTURE for name in classes for i in range(each)}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `source add` reads of a clone, as the working directory, and archives."""
    for name in ("params.yaml", "stages/report/dvc.yaml", "data/sample/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    Path("shapes.zip").write_bytes(zipped(images(SHAPES)))
    return tmp_path


def add(*words: str) -> str:
    """Run the command; return its error, which the interpreter prints, or nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["handwriting", "source", "add", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return str(ended.value.code or "")


def params() -> dict[str, Any]:
    return dict(yaml.safe_load(Path("params.yaml").read_text()))


def contents(folder: Path) -> Mapping[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_settings_say_what_is_in_the_archive(clone: Path) -> None:
    before = params()
    assert add("shapes", "--characters", "shapes.zip", "--writer", r"(w\d)") == ""
    after = params()
    section = after.pop("shapes")
    assert after.pop("sources") == before.pop("sources") | {
        "characters": ["sample", "real", "shapes"]
    }
    assert after == before
    digest = content_digest(clone / "shapes.zip", Limits(**before["unzip"]))
    entry = {"urls": ["."], "files": {"shapes.zip": digest}}
    assert section["archives"] == {"characters": entry}
    named = {"train": 12, "classes": sorted(SHAPES), "writer": r"(w\d)"}
    assert section["images"] == {"characters": named}
    assert section["crossvalidation"]["folds"] == 2  # as many as writers


def test_params_yaml_keeps_its_comments_and_the_style_that_dvc_writes(clone: Path) -> None:
    run(clone, "git", "init", "--quiet")
    workspace.commit(clone, "start")
    assert add("shapes", "--characters", "shapes.zip", "--doubtful", "shapes.zip") == ""
    added, removed, _ = run(clone, "git", "diff", "--numstat", "params.yaml").stdout.split()
    assert (int(added) > 20, removed) == (True, "1")  # the empty list of doubtful sets
    workspace.commit(clone, "added")
    content = workspace.YAML.load(Path("params.yaml"))  # as `dvc exp run -S` does
    content["shapes"]["characters"]["epochs"] = 3
    workspace.YAML.dump(content, Path("params.yaml"))
    numstat = run(clone, "git", "diff", "--numstat", "params.yaml").stdout
    assert numstat == "1\t1\tparams.yaml\n"


@pytest.mark.usefixtures("clone")
def test_the_more_images_the_fewer_epochs_and_the_more_steps() -> None:
    real, epochs, seen = params()["real"], [], []
    for name, each in (("few", 100), ("many", 4000)):
        Path(f"{name}.zip").write_bytes(zipped(images(["a", "b"], each)))
        assert add(name, "--characters", f"{name}.zip") == ""
        epochs.append(params()[name]["characters"]["epochs"])
        seen.append(2 * each * epochs[-1])
    usual = real["characters"]["epochs"]
    assert epochs[0] > usual > epochs[1]
    assert seen[0] < usual * real["images"]["characters"]["train"] < seen[1]


@pytest.mark.usefixtures("clone")
def test_a_set_of_digits_answers_question_two_as_well() -> None:
    Path("digits.zip").write_bytes(zipped(images([*"0123456789"], root="")))
    assert add("mine", "--characters", "digits.zip") == ""
    found, real = params(), params()["real"]
    assert found["sources"]["mnist"] == ["sample", "real", "mine"]
    assert found["sources"]["mnistTask3"] == ["sample", "real"]
    assert found["mine"]["archives"]["mnist"] == real["archives"]["mnist"]
    assert found["mine"]["full_data"] == real["full_data"]
    assert found["mine"]["images"]["characters"]["classes"] == [*"0123456789"]
    deps = yaml.safe_load(Path("mine/dvc.yaml").read_text())["stages"]["report"]["deps"]
    assert "artifacts/mine/evaluation/mnist" in deps
    assert not [dep for dep in deps if "mnistTask3" in dep]


@pytest.mark.usefixtures("clone")
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "absolute"])
def test_zip_and_tar_by_any_path(kind: str, tmp_path: Path) -> None:
    name = "some.zip" if kind == "absolute" else f"some.{kind}"
    files = images(SHAPES)
    packed = tarred(files, "w:gz" if kind == "tar.gz" else "w") if "tar" in kind else zipped(files)
    (folder := tmp_path / "archives").mkdir()
    (folder / name).write_bytes(packed)
    assert (
        add(
            "shapes",
            "--characters",
            str(folder / name) if kind == "absolute" else f"archives/{name}",
        )
        == ""
    )
    [where] = params()["shapes"]["archives"]["characters"]["urls"]
    assert where == (str(folder) if kind == "absolute" else "archives")
    card = Path("data/shapes/README.md").read_text()
    assert "| NA | 4 |" in card


BAD = {
    "a name with a space": (["my set", "--characters", "shapes.zip"], "invalid name 'my set'"),
    "a name that begins with -": (["1st", "--characters", "shapes.zip"], "a letter first"),
    "a section": (["training", "--characters", "shapes.zip"], "the name training is taken"),
    "a folder": (["stages", "--characters", "shapes.zip"], "is taken: stages exists"),
    "a source": (["sample", "--characters", "shapes.zip"], "the name sample is taken"),
    "a folder of every source": (["metrics", "--characters", "shapes.zip"], "metrics is taken"),
    "no archive": (["x", "--characters", "absent.zip"], "absent.zip: no such file"),
    "a folder for an archive": (
        ["x", "--characters", "data"],
        "pack it, python -m zipfile -c data.zip data",
    ),
    "a folder whose name needs quotes": (
        ["x", "--characters", "my set/"],
        "my set/: a folder, not an archive: pack it, python -m zipfile -c my-set.zip 'my set/'",
    ),
    "an archive with a space in its name": (
        ["x", "--characters", "my set.zip"],
        "my set.zip: invalid name of an archive: use letters, digits, '.', '-' and '_', and end",
    ),
    "another file": (["x", "--characters", "params.yaml"], "params.yaml: invalid name of an"),
    "a damaged archive": (["x", "--characters", "damaged.zip"], "damaged.zip: not a whole zip"),
    "a password": (["x", "--characters", "https://me:pw@host/a.zip"], "host/a.zip: a password"),
    "images beside the classes": (
        ["x", "--characters", "beside.zip"],
        "beside.zip: not in the folder of a class: a.pgm; other/deep/er/a.pgm",
    ),
    "one class": (["x", "--characters", "one.zip"], "one.zip: 1 folders of classes, not 2 to 200"),
    "201 classes": (["x", "--characters", "many.zip"], "201 folders of classes, not 2 to 200"),
    "a class of one image": (["x", "--characters", "few.zip"], "classes of one image: lonely"),
    "other classes": (
        ["x", "--characters", "shapes.zip", "--doubtful", "one.zip"],
        "one.zip: 1 folders of classes",
    ),
    "other doubtful classes": (
        ["x", "--characters", "shapes.zip", "--doubtful", "other.zip"],
        "--doubtful: not the same classes: NA; circle; heart; star fish; sun",
    ),
    "no regular expression": (
        ["x", "--characters", "shapes.zip", "--writer", "("],
        "--writer (: not a regular expression",
    ),
    "no writer": (
        ["x", "--characters", "shapes.zip", "--writer", "w1"],
        "--writer w1: finds no writer in shapes/NA/0-w0.pgm; ",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_fault_is_one_line_and_nothing_is_written(fault: str, clone: Path) -> None:
    archives = {
        "beside": images(SHAPES) | {"a.pgm": PICTURE, "other/deep/er/a.pgm": PICTURE},
        "one": images(["only"]),
        "many": images([f"{i:03d}" for i in range(201)], 2),
        "few": images(SHAPES) | {"shapes/lonely/1.pgm": PICTURE},
        "other": images(["heart", "sun"]),
    }
    for name, members in archives.items():
        Path(f"{name}.zip").write_bytes(zipped(members))
    Path("my set").mkdir()
    Path("my set.zip").write_bytes(zipped(images(SHAPES)))
    Path("damaged.zip").write_bytes(zipped(images(SHAPES))[:-9])
    words, message = BAD[fault]
    before = contents(clone)
    error = add(*words)
    assert message in error
    assert error.startswith("source: ")
    assert "\n" not in error
    assert "pw" not in error
    assert contents(clone) == before


@pytest.mark.usefixtures("tmp_dir")
def test_a_folder_that_is_no_clone_is_an_error() -> None:
    error = add("x", "--characters", "a.zip")
    assert error.startswith("source: no params.yaml and stages/report/dvc.yaml here")


@pytest.mark.usefixtures("clone")
def test_the_report_of_an_added_source_depends_on_the_code_that_reports_need() -> None:
    assert add("shapes", "--characters", "shapes.zip") == ""
    [needed, own] = (
        yaml.safe_load(Path(path).read_text())["stages"]["report"]
        for path in ("stages/report/dvc.yaml", "shapes/dvc.yaml")
    )
    code = re.compile(r"stages/|handwriting/|requirements")
    assert [*filter(code.match, own["deps"])] == [*filter(code.match, needed["deps"])]
    assert own["outs"] == [out.replace("${item.source}", "shapes") for out in needed["outs"]]


def test_adding_a_source_reruns_nothing_and_dvc_then_runs_stages_of_it_alone(
    committed: Path, tmp_path: Path
) -> None:
    folder = copied(committed, tmp_path)
    with zipfile.ZipFile(folder / "shapes.zip", "w") as archive:
        for name, content in images(SHAPES).items():
            archive.writestr(name, content)
    before = workspace.locks(folder)
    command = ["source", "add", "shapes", "--characters", "shapes.zip", "--doubtful", "shapes.zip"]
    run(folder, "python", "-m", "handwriting", *command)
    for target in ("dvc.yaml", "real/dvc.yaml"):
        assert up_to_date(folder, target)
    assert workspace.locks(folder) == before
    dag = run(folder, "dvc", "dag", "--dot", "shapes/dvc.yaml").stdout
    stages = re.findall(r'(?m)^"([^"]+)";?$', dag)
    names = [name.split(":")[-1].split("@")[0] for name in stages]
    assert {"download-characters", "crossvalidate", "train", "report", "shapes"} <= {*names}
    assert all("shapes" in name for name in stages)
    assert not [name for name in stages if "mnist" in name]


@pytest.mark.slow
def test_the_page_on_own_data_says_what_happens(committed: Path, tmp_path: Path) -> None:
    page, folder = sections("docs/own-data.md"), copied(committed, tmp_path)
    before = contents(folder / "artifacts"), workspace.locks(folder)
    for line in (*page["What it takes"], *page["Add it"]):
        run(folder, "sh", "-c", line)
    content = workspace.read_params(folder)
    content["shapes"]["characters"]["epochs"] = 40
    content["shapes"]["doubtful"] |= {"pretrain": 40, "epochs": 40}
    workspace.write_params(folder, content)
    run(folder, "sh", "-c", page["Run it"][0])
    accuracy = {name: each["accuracy"] for name, each in scores(folder, "shapes").items()}
    assert len(accuracy) == 8
    assert accuracy["characters"] > 0.9
    assert "A network trained on them as given" in run(folder, "sh", "-c", page["Run it"][1]).stdout
    report = (folder / "artifacts/shapes/report.html").read_text()
    for identity in ("confusion", "classes", "accuracy-doubtful", "label-noise-doubtful"):
        assert f'<figure id="{identity}"' in report, identity
    assert '<figure id="context"' not in report  # the writers are not known
    assert "Who wrote or drew them is not known" in report
    ranked = read_csv(folder / "artifacts/shapes/label_noise/images.csv")
    first = {row["given"] for row in ranked[:60]}
    assert (first, len(ranked)) == ({"square", "triangle"}, 200)
    [line] = page["Labels without the pipeline"]
    assert (
        "square and triangle are exchanged"
        in run(folder, "sh", "-c", f"{line} || test $? = 3").stdout
    )
    assert (folder / "examined/report.html").exists()
    run(folder, "sh", "-c", page["Run it"][-1])
    answers = read_csv(folder / "answers.csv")
    right = [row["label"] == row["path"].split("/")[1] for row in answers]
    assert (len(right), sum(right) > 180) == (200, True)
    for line in page["Remove it again"]:
        run(folder, "sh", "-c", line)
    assert run(folder, "git", "status", "--porcelain").stdout == ""
    assert (contents(folder / "artifacts"), workspace.locks(folder)) == before
    assert up_to_date(folder, "dvc.yaml")


@pytest.mark.slow
def test_a_source_of_digits_answers_every_question_that_it_has_data_for(
    committed: Path, tmp_path: Path
) -> None:
    folder = copied(committed, tmp_path)
    shutil.unpack_archive(folder / "data/sample/trainPart1.zip", tmp_path / "unpacked")
    sources = {label: name for name, label in CHARACTER_FOLDERS.items()}
    with zipfile.ZipFile(folder / "mine.zip", "w") as archive:
        for digit in range(10):
            for path in sorted((tmp_path / "unpacked/train" / sources[digit]).iterdir()):
                archive.write(path, f"{digit}/{path.name}")
    command = ["mine", "--characters", "mine.zip", "--doubtful", "mine.zip", r"--writer=-(\d+)\."]
    run(folder, "python", "-m", "handwriting", "source", "add", *command)
    ran(folder, "repro", "mine/dvc.yaml")
    found = scores(folder, "mine")
    assert len(found) == 6 + 3 + 2
    assert found["characters"]["writers"] > 1
    assert found["mnist-digits"] == found["mnist-characters"] != found["mnist-random"]
    assert found["mnist-digits"]["images"] == workspace.DIGITS["t10k"]
    report = (folder / "artifacts/mine/report.html").read_text()
    assert "differ in nothing" in report
    assert '<figure id="context"' in report  # the writers are known
    assert '<figure id="oracle"' not in report
