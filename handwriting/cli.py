"""The commands: python -m handwriting predict MODEL IMAGE..."""

import argparse
import csv
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import torch

from handwriting.classifier import Classifier
from handwriting.core import files
from handwriting.core.errors import InputError
from handwriting.sources import prepared


def regex(text: str) -> re.Pattern[str]:
    """Return a regular expression of the command line."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"not a regular expression: {error}") from None


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="handwriting", description="Classify handwriting.")
    commands = top.add_subparsers(dest="command", required=True)
    predict = commands.add_parser("predict", help="print path,label,confidence of images")
    predict.add_argument("model", type=Path, help="a checkpoint, artifacts/<source>/<name>.pt")
    images = "image files, folders or zip archives"
    predict.add_argument("images", type=Path, nargs="+", help=images)
    predict.add_argument("--output", type=Path, help="write CSV to this file instead")
    writers = predict.add_mutually_exclusive_group()
    same = "one person wrote all images: adapt each to the others"
    writers.add_argument("--same-writer", action="store_true", help=same)
    of_writer = "the same, where this part of the path (or its first group) names the writer"
    writers.add_argument("--writer-regex", type=regex, metavar="REGEX", help=of_writer)
    return top


def writer_in(pattern: re.Pattern[str], path: str) -> str:
    """Return the part of a path that a pattern, or its first group, matches: its writer."""
    if not (found := pattern.search(path)):
        raise InputError(f"{path}: --writer-regex {pattern.pattern} finds no writer in this path")
    return found[1] if pattern.groups else found[0]


def predictions(given: argparse.Namespace) -> list[tuple[str, str, float]]:
    """Return (path, label, confidence) of every image, sorted."""
    classifier = Classifier(given.model)
    names, pixels, geometry = prepared(classifier, given.images)
    writers: list[str] | None = None
    if given.same_writer:
        writers = ["one"] * len(names)
    elif given.writer_regex:
        writers = [writer_in(given.writer_regex, name) for name in names]
    confidences, indices = classifier.logits(pixels, geometry, writers).softmax(1).max(1)
    labels = (classifier.classes[i] for i in indices)
    return sorted(zip(names, labels, confidences.tolist(), strict=True))


def check_output(output: Path | None) -> None:
    """Raise InputError for an output that cannot be written."""
    if output and (output.is_dir() or output == Path()):
        raise InputError(f"--output {output}: a folder, not a file")
    if output and not output.absolute().parent.is_dir():
        raise InputError(f"--output {output}: no folder {output.absolute().parent}")


def write(rows: Iterable[tuple[str, str, float]], output: Path | None) -> None:
    """Write path,label,confidence to a file or standard output."""
    columns = ("path", "label", "confidence")
    shown = [(path, label, f"{confidence:.4f}") for path, label, confidence in rows]
    if output:
        files.write_csv(output, columns, shown, output.parent)
    else:
        csv.writer(sys.stdout, lineterminator="\n").writerows([columns, *shown])


def main() -> None:
    """Run a command; an InputError is one line and exit status 1."""
    given = parser().parse_args()
    torch.set_num_threads(1)
    try:
        check_output(given.output)
        write(predictions(given), given.output)
    except InputError as error:
        sys.exit(f"predict: {error}")
    except BrokenPipeError:  # the reader has seen enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        sys.exit(f"predict: {error.filename or 'the output'}: {error.strerror}")
    except UnicodeEncodeError as error:
        sys.exit(f"predict: {error.object!a}: a path that is not UTF-8")
    except KeyboardInterrupt:
        sys.exit(130)
