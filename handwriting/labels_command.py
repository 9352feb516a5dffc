"""The command `handwriting diagnose PATH`."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from joblib import cpu_count

from handwriting import labelled
from handwriting.core.errors import InputError, printable

CLEAN, UNREADABLE, FAULTS = 0, 2, 3  # exit status
_SHOWN = 10  # rows on the terminal


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to a parser."""
    text = "what is wrong with the labels of images, and with which; exit status 3 if anything is"
    parser = commands.add_parser("diagnose", help=text, description=text)
    kinds = "a folder with a folder for each class, a zip or tar of it, idx files, or a CSV"
    parser.add_argument("path", type=Path, help=f"{kinds} with the columns path and label")
    labels = "a CSV with the columns path and label, in place of folders"
    parser.add_argument("--labels", type=Path, metavar="FILE.csv", help=labels)
    output = "write diagnosis.json, images.csv, cleaned.csv and report.html into this folder"
    parser.add_argument("--output", type=Path, metavar="FOLDER", help=output)
    model = "a network that knows the classes: characters, digits, or an .onnx or .pt file"
    parser.add_argument("--model", metavar="NAME|FILE", help=model)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Examine, print the verdict, write the files; return the exit status."""
    try:
        if given.output:
            _refuse_unwritable(given.output)
        named, labels = labelled.read(given.path, given.labels)
        found = _examined(given.path, named, labels, given.model)
    except InputError as error:
        print(f"diagnose: {error}", file=sys.stderr)
        return UNREADABLE
    print(printable(f"{found.sentence}."))
    for limit in found.limits:
        print(printable(f"What cannot be known: {limit}."))
    if listed := found.listed:
        looks = ", ".join(f"{n:,} for {share:.0%}" for share, n in found.to_look_at().items())
        print(f"Listed: {len(listed):,} of {len(found.rows):,} images. To look at: {looks}.")
    for row in listed[:_SHOWN]:
        print(printable(row))
    if given.output:
        from handwriting import labels_report

        try:
            labels_report.write(found, printable(given.path.name), given.output)
        except OSError as error:
            print(f"diagnose: {given.output}: {error.strerror}", file=sys.stderr)
            return UNREADABLE
        print(f"The rest is in {given.output}: see report.html.")
    return FAULTS if listed else CLEAN


def _refuse_unwritable(folder: Path) -> None:
    """Raise InputError, before the work, if a folder cannot be made or written to."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: not a folder that can be written to")


def _examined(path: Path, named: Any, labels: Any, model: str | None) -> Any:
    try:
        from handwriting import labels as examination
    except ModuleNotFoundError as error:
        raise InputError(f"needs {error.name}: pip install 'handwriting[train]'") from None
    classifier = examination.opened(model)
    try:
        return examination.examined(named, labels, classifier, cpu_count())
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
