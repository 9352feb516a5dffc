"""A source of one's own: an archive with a folder for each class, added to the settings."""

import io
import math
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from pydantic import ValidationError
from ruamel.yaml import YAML

from handwriting.core import files, params
from handwriting.core.errors import InputError, listed
from handwriting.data.alphabet import DIGITS
from handwriting.preprocessing import settings
from handwriting.raw import archives, fetch

_REPORT, _SCRATCH = Path("stages/report/dvc.yaml"), Path("scratch")
_RESERVED = {"artifacts", "images", "metrics", "raw", "scratch", "tensors"}
_LIKE = "real"  # the source whose settings the new one has
_TRANSFER = ("pretrain", "digits", "full_data", "labels", "seeds", "methods")  # of question two
# What the report has of doubtful labels, in the folder of the source's artifacts.
_DOUBTFUL = (
    "evaluation/doubtful",
    "figures/doubtful/worst.png",
    "label_noise/doubtful.json",
    "label_noise/images.csv",
)
_ALLOWED = "letters, digits, '.', '-' and '_', and end it in .zip, .tar, .tgz or .gz"
_CARD = """# Data card: {name}

{writers} Say here what the images show, who made them and what their terms are.

| class | {archives} |
|---|{lines}
{rows}
"""


class Found(NamedTuple):
    """What an archive holds."""

    archive: dict[str, Any]  # its entry in <source>.archives
    paths: list[str]  # of its images
    counts: dict[str, int]  # images of each class


def add(name: str, characters: str, doubtful: str | None, writer: str | None) -> str:
    """Add a source to params.yaml, with its NAME/dvc.yaml and data card; return what to do next.

    `characters` and `doubtful` are paths or URLs of archives, `writer` is a regular expression.
    Raises InputError, and then no file has changed.
    """
    check(name, writer)
    _SCRATCH.mkdir(exist_ok=True)
    try:
        with TemporaryDirectory(dir=_SCRATCH) as scratch:
            found = {"characters": read(characters, Path(scratch))}
            if doubtful:
                found["doubtful"] = read(doubtful, Path(scratch))
            write(texts(name, found, writer), Path(scratch))
    finally:
        with suppress(OSError):  # not empty: a stage is running
            _SCRATCH.rmdir()
    images, classes = (f(found["characters"].counts.values()) for f in (sum, len))
    return f"{name}: {images:,} images of {classes} classes. Next: dvc repro {name}/dvc.yaml"


def check(name: str, writer: str | None) -> None:
    """Raise InputError for a name that no source may have, and for no regular expression."""
    if not (_REPORT.exists() and params.PATH.exists()):
        raise InputError(
            f"no {params.PATH} and {_REPORT} here: run it in the top folder of a clone"
        )
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise InputError(f"invalid name {name!r}: use letters, digits, '-' and '_', a letter first")
    taken = [Path(name), Path("data", name, "README.md"), Path("metrics", name)]
    params.load("sources", dict[str, list[str]])  # else it is no YAML that can be added to
    if name in _RESERVED or name in params.parse(params.PATH.read_text(encoding="utf-8")):
        raise InputError(f"the name {name} is taken")
    if there := [str(each) for each in taken if each.exists()]:
        raise InputError(f"the name {name} is taken: {', '.join(there)} exists")
    try:
        re.compile(writer or "")
    except re.error as error:
        raise InputError(f"--writer {writer}: not a regular expression: {error}") from None


def read(location: str, scratch: Path) -> Found:
    """Return what the archive of a path or URL holds. Raises InputError."""
    policy = params.load("download", fetch.RetryPolicy)
    limits = params.load("unzip", archives.Limits)
    path = Path(location)
    if not (remote := "://" in location) and not path.is_file():
        plain = re.sub(r"\W+", "-", path.resolve().name).strip("-")
        pack = shlex.join(["python", "-m", "zipfile", "-c", f"{plain}.zip", location])
        folder = f"a folder, not an archive: pack it, {pack}"
        raise InputError(f"{location}: {folder if path.is_dir() else 'no such file'}")
    folder, _, name = location.rpartition("/")
    try:
        archive = fetch.Archive(urls=[folder or "."], files={name: None})
    except ValidationError as error:
        fault = error.errors()[0]
        problem = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "string_pattern_mismatch":
            problem = f"invalid name of an archive: use {_ALLOWED}"
        raise InputError(f"{fetch.redacted(location)}: {problem}") from None
    if remote:
        path = fetch.fetch(archive.downloads("", scratch)[0], policy, limits)
    with archives.opened([path], limits) as members:
        paths = [each.path for each in members]
    entry = {"urls": archive.urls, "files": {name: archives.content_digest(path, limits)}}
    return Found(entry, paths, counted(location, paths))


def counted(location: str, paths: Iterable[str]) -> dict[str, int]:
    """Return the images of each class, which are the folders. Raises InputError."""
    folders = Counter(path.rpartition("/")[0] for path in paths)
    root = Counter(each.rpartition("/")[0] for each in folders).most_common(1)[0][0]
    others = [each for each in folders if not each or each.rpartition("/")[0] != root]
    if others:
        outside = [path for path in paths if path.rpartition("/")[0] in others]
        raise InputError(f"{location}: not in the folder of a class: {listed(outside)}")
    counts = {each.rpartition("/")[2]: folders[each] for each in sorted(folders)}
    if not 2 <= len(counts) <= 200:
        raise InputError(f"{location}: {len(counts)} folders of classes, not 2 to 200")
    if few := [each for each, images in counts.items() if images < 2]:
        raise InputError(f"{location}: classes of one image: {listed(few)}")
    return counts


def texts(name: str, found: Mapping[str, Found], writer: str | None) -> dict[Path, str]:
    """Return the content of each file that is written, params.yaml last. Raises InputError."""
    yaml = YAML()
    yaml.default_flow_style = False
    content = yaml.load(params.PATH)
    content[name] = section = section_of(content, found, writer)
    lists = [each for each in content["sources"] if each in section["archives"]]
    for each in lists:
        content["sources"][each].append(name)
    pages = {Path(name, "dvc.yaml"): pipeline(name, lists), params.PATH: content}
    dumped = {}
    for path, page in pages.items():
        yaml.dump(page, text := io.StringIO())
        dumped[path] = text.getvalue()
    return {Path("data", name, "README.md"): card(name, found, writer), **dumped}


def section_of(
    content: Mapping[str, Any], found: Mapping[str, Found], writer: str | None
) -> dict[str, Any]:
    """Return the section of a source. Raises InputError for archives that do not go together."""
    like, (paths, counts) = content[_LIKE], found["characters"][1:]
    pattern, total = re.compile(writer or ".+"), sum(counts.values())
    writers = [settings.writer_in(pattern, path) for path in paths]
    if nameless := [path for path, each in zip(paths, writers, strict=True) if not each]:
        raise InputError(f"--writer {writer}: finds no writer in {listed(nameless)}")
    if other := {*found.get("doubtful", found["characters"]).counts} ^ {*counts}:
        raise InputError(f"--doubtful: not the same classes: {listed(sorted(other))}")
    images = {"train": total, "classes": [*counts]} | ({"writer": writer} if writer else {})
    epochs = scaled(content, total)
    folds = min(like["crossvalidation"]["folds"], len({*writers}), *counts.values())
    section: dict[str, Any] = {
        "archives": {dataset: each.archive for dataset, each in found.items()},
        "images": {"characters": images},
        "characters": {"epochs": epochs},
        "crossvalidation": {**like["crossvalidation"], "folds": folds},
    }
    if tuple(counts) == DIGITS:
        section |= {each: plain(like[each]) for each in _TRANSFER}
        section["pretrain"] = {"digits": epochs, "characters": epochs}
        section["archives"]["mnist"] = plain(like["archives"]["mnist"])
        section["images"]["mnist"] = plain(like["images"]["mnist"])
    if "doubtful" in found:
        size = sum(found["doubtful"].counts.values())
        section["images"]["doubtful"] = {"train": size, "classes": [*counts]}
        section["doubtful"] = {
            "model_size": like["digits"]["model_size"],
            "pretrain": epochs,
            "epochs": scaled(content, size),
            "seeds": like["seeds"]["diagnosis"],
        }
    return section


def plain(value: Any) -> Any:
    """Return a section without its comments and its style."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else deepcopy(value)


def scaled(content: Mapping[str, Any], images: int) -> float:
    """Return the epochs in which a network of question one learns so many images.

    Its steps grow as the root of their number: a small set takes minutes, a large one stays
    affordable, and for as many as the settings were chosen with they are the same.
    """
    like, batch = content[_LIKE], content["characters"]["training"]["batch_size"]
    epochs, chosen = like["characters"]["epochs"], like["images"]["characters"]["train"]
    return float(round(epochs * math.sqrt(chosen / max(images, batch)), 1))


def pipeline(name: str, lists: Iterable[str]) -> dict[str, Any]:
    """Return NAME/dvc.yaml: its target, and its report with what the source has of it."""
    page = f"artifacts/{name}/report.html"
    report = YAML(typ="safe").load(_REPORT)["stages"]["report"]
    del report["matrix"]
    absent = {"mnist", "mnistTask3", "oracle", "label_noise"} - {*lists}
    deps = [dep for dep in report["deps"] if not absent & {*re.split(r"[/.]", dep)}]
    deps += [f"artifacts/{name}/{each}" for each in _DOUBTFUL if "doubtful" in lists]
    report |= {"wdir": "..", "deps": deps}
    target = {
        "wdir": "..",
        "desc": f"All that is known of {name}",
        "cmd": f"test -s {page}",
        "deps": [page],
    }
    return {"stages": {name: target, "report": _named(report, name)}}


def _named(value: Any, name: str) -> Any:
    """Return a part of a pipeline with the name of the source in it."""
    if isinstance(value, dict):
        return {key: _named(each, name) for key, each in value.items()}
    if isinstance(value, list):
        return [_named(each, name) for each in value]
    return value.replace("${item.source}", name)


def card(name: str, found: Mapping[str, Found], writer: str | None) -> str:
    """Return the data card: what has been counted."""
    known = f"`{writer}` finds the writer in the path of an image."
    archives_of = [", ".join(each.archive["files"]) for each in found.values()]
    counts = [each.counts for each in found.values()]
    classes = {each: [str(of[each]) for of in counts] for each in counts[0]}
    return _CARD.format(
        name=name,
        writers=known if writer else "The writers are not known.",
        archives=" | ".join(f"images in {each}" for each in archives_of),
        lines="---|" * len(found),
        rows="\n".join(f"| {each} | {' | '.join(images)} |" for each, images in classes.items()),
    )


def write(content: Mapping[Path, str], scratch: Path) -> None:
    """Write files: all of them or, where one cannot be written, none."""
    done: list[Path] = []
    try:
        for path, text in content.items():
            done += [] if path.exists() else [path]
            files.write_bytes(path, text.encode(), scratch)
    except OSError:
        for path in done:
            path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty, or not made
                path.parent.rmdir()
        raise
