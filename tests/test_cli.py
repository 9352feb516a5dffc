"""`handwriting predict`: what it reads, what it writes, and what a bad image does."""

import csv
import gzip
import io
import itertools
import json
import os
import pty
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image

from handwriting import Classifier, InputError, cli, onnx_export
from handwriting.training import checkpoint, model
from handwriting.training.checkpoint import Run, Saved
from tests import networks, pictures, workspace

LETTER = pictures.encoded(pictures.letter())
DIGIT = np.asarray(pictures.letter(28, 28).resize((28, 28)))
TEXT = b"nothing to see here"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network of random weights, model.pt and model.onnx."""
    folder = tmp_path_factory.mktemp("models")
    shape = replace(networks.SHAPE, geometry_channels=5)
    network = model.fresh(shape, "a test", 0).eval()
    pairs = [*map(list, itertools.combinations("0123456789", 2))]
    saved = Saved(network, Run(data="test"), {"confusable": pairs, "data": {}})
    checkpoint.save([saved], folder / "model.pt", folder)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # it leaves threads behind
        content = pool.submit(onnx_export.to_onnx, saved).result()
    (folder / "model.onnx").write_bytes(content)
    return folder


@pytest.fixture
def model_file(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The ONNX file, with an empty folder as the working directory."""
    monkeypatch.chdir(tmp_path)
    return models / "model.onnx"


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "handwriting", "predict", *map(str, words)]


def predict(
    network: Path | str, *words: str | Path, given: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run the command in this process."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    argv = ["handwriting", "predict", "--model", str(network), *map(str, words)]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", argv)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        with pytest.raises(SystemExit) as ended:
            cli.main()
    if isinstance(ended.value.code, str):  # which the interpreter prints
        err.write(f"{ended.value.code}\n")
        status = 1
    return subprocess.CompletedProcess(argv, status, out.getvalue(), err.getvalue())


def rows(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    header, *found = csv.reader(done.stdout.splitlines())
    assert header == ["path", "label", "probability", "confusable", "error"], done.stderr
    return found


def zipped(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return archive.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w") -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=mode) as opened:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def idx(images: NDArray[np.uint8]) -> bytes:
    header = struct.pack(">4B", 0, 0, 8, images.ndim) + struct.pack(
        f">{images.ndim}I", *images.shape
    )
    return header + images.tobytes()


def numbers(image: NDArray[Any]) -> str:
    return ",".join(map(str, image.ravel()))


PIXELS = ",".join(f"pixel{i}" for i in range(784))
FILES = {"b/x.png": LETTER, "a.jpg": LETTER}
# Under a name that says nothing: what it holds, and the names of the rows.
KINDS = {
    "image": (LETTER, ["thing"]),
    "image in gzip": (gzip.compress(LETTER), ["thing"]),
    "zip": (zipped(FILES), ["a.jpg", "b/x.png"]),
    "tar": (tarred(FILES), ["a.jpg", "b/x.png"]),
    "tar.gz": (tarred(FILES, "w:gz"), ["a.jpg", "b/x.png"]),
    "idx": (idx(np.stack([DIGIT, DIGIT])), ["thing[0]", "thing[1]"]),
    "idx.gz": (gzip.compress(idx(DIGIT[None])), ["thing[0]"]),
    "idx in a zip": (zipped({"images.idx3-ubyte": idx(DIGIT[None])}), ["images.idx3-ubyte[0]"]),
    "csv, Kaggle's train": (f"label,{PIXELS}\n3,{numbers(DIGIT)}\n".encode(), ["thing[0]"]),
    "csv, Kaggle's test": (f"{PIXELS}\r\n{numbers(DIGIT)}\r\n".encode(), ["thing[0]"]),
    "csv without a header": (f"3,{numbers(DIGIT)}".encode(), ["thing[0]"]),
    "csv with a BOM": (f"\ufefflabel,{PIXELS}\n3,{numbers(DIGIT)}".encode(), ["thing[0]"]),
    "csv with a BOM and no header": (f"\ufeff3,{numbers(DIGIT)}".encode(), ["thing[0]"]),
    "csv with blanks": (f"3,{numbers(DIGIT)}".replace(",", ", ").encode(), ["thing[0]"]),
    "csv with ;": (f"label,{PIXELS}\n3,{numbers(DIGIT)}".replace(",", ";").encode(), ["thing[0]"]),
    "csv of floats": (f"3,{numbers(DIGIT / 1)}".encode(), ["thing[0]"]),
    "csv, OpenML's": (f'{PIXELS},"class"\n{numbers(DIGIT)},"3"\n\n'.encode(), ["thing[0]"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("piped", [False, True], ids=["file", "stdin"])
def test_every_kind_is_told_by_its_content_and_answered_as_the_image_alone(
    kind: str, piped: bool, model_file: Path
) -> None:
    content, names = KINDS[kind]
    Path("thing").write_bytes(content)
    done = predict(model_file, "-", given=content) if piped else predict(model_file, "thing")
    classifier = Classifier(model_file)
    digits = "idx" in kind or "csv" in kind
    wanted = classifier.predict(DIGIT if digits else LETTER)
    expected = [wanted.label, str(round(wanted.probability, 4)), " ".join(wanted.confusable), ""]
    names = [name.replace("thing", "-") if piped else name for name in names]
    assert rows(done) == [[name, *expected] for name in names]
    assert (done.returncode, done.stderr) == (0, "")


def test_members_of_several_arguments_have_the_argument_before_their_name(model_file: Path) -> None:
    Path("some.zip").write_bytes(zipped(FILES))
    Path("folder/inner").mkdir(parents=True)
    for name in ("single.png", "folder/c", "folder/inner/b.png"):
        Path(name).write_bytes(LETTER)
    Path("folder/d.tar").write_bytes(tarred(FILES))
    names = [row[0] for row in rows(predict(model_file, "single.png", "some.zip", "folder"))]
    assert names == [
        *("single.png", "some.zip/a.jpg", "some.zip/b/x.png", "folder/c"),
        *("folder/d.tar/a.jpg", "folder/d.tar/b/x.png", "folder/inner/b.png"),
    ]


def write_folder(files: dict[str, bytes]) -> str:
    for name, content in files.items():
        Path("it", name).parent.mkdir(parents=True, exist_ok=True)
        Path("it", name).write_bytes(content)
    return "it"


def write_archive(pack: Callable[[dict[str, bytes]], bytes]) -> Callable[[dict[str, bytes]], str]:
    def write(files: dict[str, bytes]) -> str:
        Path("it").write_bytes(pack(files))
        return "it"

    return write


PACKED = pytest.mark.parametrize(
    "pack",
    [write_folder, write_archive(zipped), write_archive(tarred)],
    ids=["folder", "zip", "tar"],
)


@PACKED
def test_a_bad_image_is_a_row_with_its_reason_and_the_good_ones_are_answered(
    pack: Callable[[dict[str, bytes]], str], model_file: Path
) -> None:
    bad = {"b.png": TEXT, "c.jpg": LETTER[: len(LETTER) // 2], "d": LETTER[:60]}
    done = predict(model_file, pack({"a.png": LETTER, **bad, "e.png": LETTER}))
    found = {row[0].removeprefix("it/"): row[1:] for row in rows(done)}
    assert [*found] == ["a.png", "b.png", "c.jpg", "d", "e.png"]
    assert found["a.png"] == found["e.png"]
    assert found["a.png"][3] == ""
    assert found["b.png"][:2] == ["", ""]
    assert found["b.png"][3].startswith("not an image")
    for name in ("c.jpg", "d"):
        assert "damaged" in found[name][3]
    assert done.returncode == 1
    assert done.stderr.startswith("predict: 3 without an answer: ")
    assert all(f"{name}: " in done.stderr for name in bad)


def test_a_folder_without_images_is_an_error(model_file: Path) -> None:
    Path("notes.txt").write_bytes(TEXT)
    done = predict(model_file, "./")
    assert done.returncode == 1
    assert done.stderr == "predict: not images (1): notes.txt\npredict: no images\n"


@PACKED
def test_other_kinds_are_named_and_junk_and_hidden_files_are_passed_over(
    pack: Callable[[dict[str, bytes]], str], model_file: Path
) -> None:
    apple = bytes.fromhex("00051607000200004d6163204f53205820") + bytes(100)
    junk = {"__MACOSX/._a.png": apple, "._a.png": apple, ".DS_Store": TEXT, "Thumbs.db": TEXT}
    hidden = {".hidden.png": LETTER, ".git/a.png": LETTER, "b/.ipynb_checkpoints/a.png": LETTER}
    others = {
        "notes.txt": TEXT,
        "b/page.pdf": b"%PDF-1.7\n",
        "labels-idx1-ubyte": bytes([0, 0, 8, 1]),
    }
    done = predict(model_file, pack({"a.png": LETTER, **junk, **hidden, **others}))
    assert [row[0].removeprefix("it/") for row in rows(done)] == ["a.png"]
    assert done.returncode == 0
    assert done.stderr.startswith("predict: not images (3): ")
    assert all(name in done.stderr for name in others)
    assert not any(name in done.stderr for name in (*junk, *hidden))


def test_a_damaged_member_of_a_zip_is_one_row(model_file: Path) -> None:
    content = bytearray(zipped({"a.png": LETTER, "b.png": LETTER, "c.png": LETTER}))
    content[content.index(b"b.png") + 20] ^= 255
    Path("some.zip").write_bytes(content)
    done = predict(model_file, "some.zip")
    assert [(row[0], bool(row[4])) for row in rows(done)] == [
        ("a.png", False),
        ("b.png", True),
        ("c.png", False),
    ]
    assert done.returncode == 1


def awkward_zip() -> bytes:
    """Good images under names that no folder can hold together, and three that are not read."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in STRANGE:
            archive.writestr(name, LETTER)
        archive.writestr("packed.png", LETTER, zipfile.ZIP_LZMA)
        archive.writestr("secret.png", LETTER)
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "a.png")
    bare = bytearray(content.getvalue())
    bare[bare.rindex(b"secret.png") - 46 + 8] |= 1  # the flag of an encrypted member
    return bytes(bare)


STRANGE = [
    *("a.png", "A.png", "12:30.png", "d\\b.png", "/abs.png", "../up.png", "\x1b[31m.png"),
    "x/" * 140 + "long.png",
]


def test_one_member_of_a_zip_that_is_not_read_is_one_row_and_names_do_not_matter(
    model_file: Path,
) -> None:
    Path("awkward.zip").write_bytes(awkward_zip())
    found = rows(done := predict(model_file, "awkward.zip"))
    assert {row[0]: row[4] for row in found if row[4]} == {
        "link.png": "is a link, a device or another special file",
        "packed.png": "is packed by method 14, neither stored nor deflated",
        "secret.png": "is encrypted",
    }
    good = [row[0] for row in found if row[1]]
    assert sorted(good) == sorted(name.replace("\x1b", "\\x1b") for name in STRANGE)
    assert done.returncode == 1


def test_a_link_in_a_tar_is_one_row(model_file: Path) -> None:
    with tarfile.open("some.tar", "w") as archive:
        for name in ("a.png", "A.png"):
            (member := tarfile.TarInfo(name)).size = len(LETTER)
            archive.addfile(member, io.BytesIO(LETTER))
        (link := tarfile.TarInfo("b.png")).type = tarfile.SYMTYPE
        archive.addfile(link)
    found = rows(predict(model_file, "some.tar"))
    assert [(row[0], bool(row[1])) for row in found] == [
        ("A.png", True),
        ("a.png", True),
        ("b.png", False),
    ]


def test_what_is_empty_or_no_image_in_gzip_is_a_row_under_the_name_that_was_given(
    model_file: Path,
) -> None:
    Path("empty.png").write_bytes(b"")
    Path("notes.txt.gz").write_bytes(gzip.compress(TEXT))
    found = rows(predict(model_file, "empty.png", "notes.txt.gz", "-"))
    assert [(row[0], row[4]) for row in found] == [
        ("empty.png", "not an image: empty"),
        ("notes.txt.gz", "not an image of a kind that is read"),
        ("-", "not an image: empty"),
    ]


def test_half_a_jpeg_is_cut_off(model_file: Path) -> None:
    for mode in ("L", "RGB"):
        content = pictures.encoded(pictures.letter().convert(mode), "JPEG")
        Path(f"{mode}.jpg").write_bytes(content[: len(content) * 2 // 3])
    found = rows(predict(model_file, "L.jpg", "RGB.jpg"))
    assert [row[4] for row in found] == ["a damaged image: cut off"] * 2


def test_what_is_bad_as_a_whole_is_a_row_too(model_file: Path) -> None:
    Path("good.png").write_bytes(LETTER)
    Path("bad.zip").write_bytes(b"PK\x03\x04 nothing")
    Path("cut.gz").write_bytes(gzip.compress(LETTER)[:-9])
    Path("cut.tar").write_bytes(tarred(FILES)[:700])
    Path("cut-idx").write_bytes(idx(np.stack([DIGIT, DIGIT]))[:-1])
    Path("empty").mkdir()
    os.mkfifo("pipe")
    table = f"3,{numbers(DIGIT)}\n3,{numbers(DIGIT)},0\n3,{numbers(DIGIT)}0\n3,{numbers(DIGIT)}\n"
    Path("table.csv").write_text(table)
    bad = ("bad.zip", "cut.gz", "cut.tar", "cut-idx", "empty", "pipe", "absent.png")
    found = rows(predict(model_file, *bad, "table.csv", "good.png"))
    errors = {row[0]: row[4] for row in found if row[4]}
    assert {*errors} == {*bad, "table.csv[1]", "table.csv[2]"}
    assert [row[0] for row in found if row[1]] == [
        *("cut-idx[0]", "table.csv[0]", "table.csv[3]", "good.png")
    ]
    assert errors["cut-idx"] == "cut off: 1 of 2 images"
    assert errors["table.csv[1]"] == "786 columns, not 785"
    assert errors["table.csv[2]"] == "pixels that are not whole numbers from 0 to 255"
    assert errors["absent.png"] == "No such file or directory"
    assert errors["pipe"] == "no regular file"


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_table_has_the_top_labels_and_is_written_whole(suffix: str, model_file: Path) -> None:
    Path("a.png").write_bytes(LETTER)
    Path("b.png").write_bytes(TEXT)
    output = Path(f"table.{suffix}")
    done = predict(model_file, "a.png", "b.png", "--top", "3", "--output", output)
    assert (done.returncode, done.stdout) == (1, "")
    assert {*Path().iterdir()} == {Path("a.png"), Path("b.png"), output}
    best = [each for pair in Classifier(model_file).predict("a.png").top(3) for each in pair]
    names = ["label", "probability", "label2", "probability2", "label3", "probability3"]
    if suffix == "json":
        first, second = json.loads(output.read_text())
        empty = None
    else:
        text = output.read_text()
        assert text == predict(model_file, "a.png", "b.png", "--top", "3").stdout
        first, second = csv.DictReader(text.splitlines())
        empty = ""
    assert [*first] == [*second] == ["path", *names, "confusable", "error"]
    assert [second[name] for name in names] == [empty] * 6
    assert second["error"].startswith("not an image")
    for name, wanted in zip(names, best, strict=True):
        same = first[name] if "label" in name else pytest.approx(wanted, abs=1e-4)
        assert (wanted if "label" in name else float(first[name])) == same


def test_a_network_that_cannot_be_used_is_one_line(model_file: Path) -> None:
    Path("a.png").write_bytes(LETTER)
    foreign = onnx.load(model_file)
    del foreign.metadata_props[:]
    onnx.save(foreign, "foreign.onnx")
    Path("text.onnx").write_bytes(TEXT)
    Path("torch.pt").write_bytes(zipped({"a": b"b"}))
    for name, problem in {
        "absent.onnx": "absent.onnx: No such file or directory",
        ".": ".: Is a directory",
        "foreign.onnx": "foreign.onnx: an ONNX network, but none that this project made",
        "text.onnx": "text.onnx: neither a checkpoint nor an ONNX network: ",
        "torch.pt": "torch.pt: not a checkpoint of this version",
    }.items():
        done = predict(Path(name), "a.png", "--output=table.csv")
        assert (done.returncode, done.stdout) == (1, "")
        [line] = done.stderr.splitlines()
        assert line.startswith("predict: ")
        assert problem in line
        assert not Path("table.csv").exists()


def test_the_light_path_imports_neither_torch_nor_in_workers_onnxruntime(model_file: Path) -> None:
    code = (
        "import sys, handwriting.cli; from handwriting.classifier import Classifier;"
        "heavy = {'torch', 'onnxruntime', 'pandas', 'scipy.stats', 'sklearn', 'dvc'};"
        "print(sorted(heavy & {*sys.modules}));"
        f"Classifier({str(model_file)!r}); print('torch' in sys.modules)"
    )
    done = workspace.run(workspace.ROOT, sys.executable, "-c", code)
    assert done.stdout.splitlines() == ["[]", "False"]


def test_worker_processes_answer_in_order_and_as_this_one_does(model_file: Path) -> None:
    digits = [np.roll(DIGIT, shift, 1) for shift in range(600)]
    images: list[NDArray[np.uint8] | bytes] = [*digits[:400], TEXT, *digits[400:]]
    classifier = Classifier(model_file)
    one, two = (list(classifier.predict_batch(images, processes=n)) for n in (1, 2))
    assert [i for i, each in enumerate(one) if isinstance(each, InputError)] == [400]
    for alone, other in zip(one, two, strict=True):
        if isinstance(alone, InputError) or isinstance(other, InputError):
            assert str(alone) == str(other)
            assert str(alone).startswith("image 400: not an image")
        else:
            assert np.array_equal(alone.probabilities, other.probabilities)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_stream_of_images_is_not_read_far_ahead(processes: int, model_file: Path) -> None:
    drawn = 0

    def endless() -> Iterator[bytes]:
        nonlocal drawn
        while True:
            drawn += 1
            yield LETTER

    answers = Classifier(model_file).predict_batch(endless(), batch_size=8, processes=processes)
    for count in range(1, 600):
        next(answers)
        assert drawn - count <= (8 if processes == 1 else 2000)


def test_control_characters_of_a_name_are_in_a_file_alone(model_file: Path) -> None:
    Path("red\x1b[31m.png").write_bytes(LETTER)
    assert rows(predict(model_file, "./red\x1b[31m.png"))[0][0] == "red\\x1b[31m.png"
    predict(model_file, "./red\x1b[31m.png", "--output=table.csv")
    assert "red\x1b[31m.png" in Path("table.csv").read_text()


def test_control_characters_of_a_name_do_not_reach_a_terminal(model_file: Path) -> None:
    for name in ("red\x1b[31m.png", "bad\x1b[31m.png", b"latin\xff.png"):
        Path(os.fsdecode(name)).write_bytes(TEXT if name[0] == "b" else LETTER)
    here, there = pty.openpty()
    words = command("--model", model_file, *Path().iterdir())
    environment = workspace.ENVIRONMENT | {"PYTHONPATH": str(workspace.ROOT)}
    done = subprocess.run(words, stdout=there, stderr=there, env=environment)
    os.close(there)
    shown = os.read(here, 1 << 16)
    assert done.returncode == 1
    assert b"\x1b" not in shown
    assert b"red\\x1b[31m.png" in shown
    assert b"latin\\xff.png" in shown


def test_a_reader_that_has_seen_enough_is_no_error(model_file: Path) -> None:
    Path("many-idx").write_bytes(idx(np.stack([DIGIT] * 2000)))
    words = " ".join(command("--model", model_file, "many-idx"))
    environment = workspace.ENVIRONMENT | {"PYTHONPATH": str(workspace.ROOT)}
    done = subprocess.run(f"{words} | head -2", shell=True, env=environment, capture_output=True)  # noqa: S602
    assert done.stdout.count(b"\n") == 2
    assert done.stderr == b""


@pytest.mark.parametrize("option", ["--same-writer", "--writer-regex=."])
def test_an_onnx_network_says_that_it_does_not_adapt_to_writers(
    option: str, model_file: Path
) -> None:
    done = predict(model_file, "absent.png", option)
    assert (done.returncode, done.stdout) == (1, "")
    assert "an ONNX network does not adapt to writers, a .pt does" in done.stderr


def test_an_image_whose_path_names_no_writer_is_answered_alone(model_file: Path) -> None:
    for name in ("w1-a.png", "w1-b.png", "other.png"):
        Path(name).write_bytes(LETTER)
    paths = sorted(Path().glob("*.png"))
    done = predict(model_file.with_name("model.pt"), *paths, "--writer-regex", r"(w\d)-")
    assert [row[0] for row in rows(done) if row[1]] == ["other.png", "w1-a.png", "w1-b.png"]
    assert done.returncode == 0
    reason = "alone, as --writer-regex finds no writer in the path: other.png"
    assert done.stderr == f"predict: 1 {reason}\n"


def run(model_file: Path, words: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command and further words in a shell."""
    environment = workspace.ENVIRONMENT | {"PYTHONPATH": str(workspace.ROOT)} | variables
    line = f"{' '.join(command('--model', model_file))} {words}"
    return subprocess.run(line, shell=True, env=environment, capture_output=True)  # noqa: S602


def test_an_output_that_cannot_show_a_name_shows_its_code(model_file: Path) -> None:
    Path("é.png").write_bytes(LETTER)
    done = run(model_file, "*.png", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[1].startswith(b"\\xe9.png,")


def test_a_closed_output_or_input_is_one_line(model_file: Path) -> None:
    Path("a.png").write_bytes(LETTER)
    done = run(model_file, "a.png >&-")
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"predict: standard output is closed" in done.stderr
    assert run(model_file, "a.png --output=table.csv >&-").returncode == 0
    assert run(model_file, "a.png 2>&-").stdout.count(b"a.png,") == 1
    assert b"-,,,,standard input is closed" in run(model_file, "- <&-").stdout


def test_debug_writes_what_the_network_saw(model_file: Path) -> None:
    Path("folder").mkdir()
    Path("folder/a.png").write_bytes(LETTER)
    Path("folder/b.png").write_bytes(TEXT)
    done = predict(model_file, "folder", "--debug", "seen")
    assert [row[0] for row in rows(done)] == ["folder/a.png", "folder/b.png"]
    assert {"ground", "ink"} <= {path.stem.rpartition("-")[2] for path in Path("seen").iterdir()}
    framed = Classifier(model_file).prepare(LETTER, "a").image
    with Image.open("seen/0001-folder-a.png-framed.png") as image:
        assert np.array_equal(np.asarray(image), framed)


def test_debug_keeps_pictures_of_names_apart_and_needs_a_folder(model_file: Path) -> None:
    Path("a").mkdir()
    for name in ("a/b.png", "a-b.png", ".hidden.png"):
        Path(name).write_bytes(LETTER)
    done = predict(model_file, "a/b.png", "a-b.png", ".hidden.png", "--debug", "seen")
    assert done.returncode == 0
    names = {each.name for each in Path("seen").glob("[!.]*-framed.png")}
    assert names == {
        *("0001-a-b.png-framed.png", "0002-a-b.png-framed.png", "0003-.hidden.png-framed.png")
    }
    done = predict(model_file, "a-b.png", "--debug", "a-b.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "predict: --debug a-b.png: no folder: File exists\n"


def phone_photo() -> bytes:
    """12 megapixels of dark ink on shaded paper, with a sensor's noise."""
    ink = np.asarray(pictures.letter(4000, 3000), np.float32) / 255
    y, x = np.mgrid[0:3000, 0:4000].astype(np.float32)
    light = (150 + x / 70 + y / 100) * (0.25 + 0.75 * ink)
    light += np.random.default_rng(0).normal(0, 4, light.shape).astype(np.float32)
    colours = light[..., None] * np.array([1, 0.97, 0.9], np.float32)
    return pictures.encoded(
        Image.fromarray(colours.clip(0, 255).astype(np.uint8)), "JPEG", quality=90
    )


@pytest.mark.slow
def test_1000_phone_photos_take_two_cores_an_eighth_of_a_second_each_and_1_gb(
    model_file: Path,
) -> None:
    Path("photos").mkdir()
    Path("photos/0.jpg").write_bytes(phone_photo())
    for i in range(1, 1000):
        os.link("photos/0.jpg", f"photos/{i}.jpg")
    environment = workspace.ENVIRONMENT | {"PYTHONPATH": str(workspace.ROOT)}
    words = command("--model", model_file, "photos", "--output=table.csv")
    peak, used = 0, 0.0
    with psutil.Popen(words, env=environment, stderr=subprocess.DEVNULL) as program:
        while program.poll() is None:
            processes = [program, *program.children(recursive=True)]
            try:
                peak = max(peak, sum(each.memory_full_info().pss for each in processes))
                times = [each.cpu_times() for each in processes]
                used = max(used, sum(each.user + each.system for each in times))
            except psutil.NoSuchProcess:
                continue
            time.sleep(0.1)
    assert program.returncode == 0
    assert used < 2 * 1000 / 8
    assert peak < 1 << 30
