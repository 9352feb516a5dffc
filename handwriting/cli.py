"""The commands: handwriting predict IMAGE..., in a clone python -m handwriting predict; and, in a
clone alone, source add NAME --characters ARCHIVE."""

import argparse
import csv
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from joblib import cpu_count
from PIL import Image
from tqdm import tqdm

from handwriting import images, labels_command, sources
from handwriting.classifier import NO_WRITERS, Classifier, Prediction
from handwriting.core import files
from handwriting.core.errors import InputError, listed, printable
from handwriting.images import Named
from handwriting.preprocessing import decoding, framing, settings

_BATCH = 64  # images


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
    add_source(commands.add_parser("source", help="add images of your own to the pipeline"))
    columns = "path,label,probability,confusable,error"
    predict = commands.add_parser("predict", help=f"print {columns} of images")
    read = ", ".join(decoding.KINDS)
    kinds = f"image files ({read}), folders, zip and tar archives, idx files, MNIST as CSV"
    predict.add_argument("images", nargs="+", help=f"{kinds}; - reads stdin")
    network = "a network of this package, characters or digits, or an .onnx or .pt file"
    predict.add_argument("--model", default="characters", metavar="NAME|FILE", help=network)
    top_k = "the K most probable labels of each image"
    predict.add_argument("--top", type=count, default=1, metavar="K", help=top_k)
    output = "write a .csv or .json file instead"
    predict.add_argument("--output", type=Path, metavar="FILE", help=output)
    debug = "write pictures of what the network saw into this folder"
    predict.add_argument("--debug", type=Path, metavar="FOLDER", help=debug)
    writers = predict.add_mutually_exclusive_group()
    same = "one person wrote all images, clean sheets as trainPart1's: adapt each to the others"
    writers.add_argument("--same-writer", action="store_true", help=same)
    of_writer = "the same, where this part of the path (or its first group) names the writer"
    writers.add_argument("--writer-regex", type=regex, metavar="REGEX", help=of_writer)
    predict.set_defaults(run=predictions)
    labels_command.add_to(commands)
    return top


def add_source(source: argparse.ArgumentParser) -> None:
    """Say what `source add` takes."""
    add = source.add_subparsers(dest="verb", required=True).add_parser(
        "add", help="write the settings and the pipeline of a new source"
    )
    add.add_argument("name", metavar="NAME", help="of the source: letters, digits, - and _")
    archive = "a path or URL of a zip or tar archive, with a folder for each class"
    add.add_argument("--characters", required=True, metavar="ARCHIVE", help=archive)
    doubtful = "the same classes, with labels not to be trusted"
    add.add_argument("--doubtful", metavar="ARCHIVE", help=doubtful)
    of_writer = "this part of an image's path (or its first group) names who wrote it"
    add.add_argument("--writer", metavar="REGEX", help=of_writer)
    add.set_defaults(run=source_added)


def source_added(given: argparse.Namespace) -> None:
    """Add a source, and print what to do next."""
    try:
        from handwriting import own_data
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is missing: pip install 'handwriting[train]'") from None
    print(own_data.add(given.name, given.characters, given.doubtful, given.writer))


def count(text: str) -> int:
    """Return a positive number of the command line."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"not a positive number: {text}")
    return int(text)


def writer_of(pattern: re.Pattern[str], unknown: list[str], path: str) -> str | None:
    """Return the writer in a path; of a path without one, which is added to `unknown`, None."""
    if not (writer := settings.writer_in(pattern, path)):
        unknown.append(path)
    return writer or None


def check(given: argparse.Namespace) -> None:
    """Raise InputError for an empty path and for an output that cannot be written.

    Make the folder for --debug.
    """
    if "" in given.images:  # of an empty word: an unset variable of a shell
        raise InputError("empty path; use ./ for the current folder")
    if (output := given.output) and output.is_dir():
        raise InputError(f"--output {output}: a folder, not a file")
    if output and not output.absolute().parent.is_dir():
        raise InputError(f"--output {output}: no folder {output.absolute().parent}")
    if not (output or sys.stdout):
        raise InputError("standard output is closed; use --output")
    try:
        if given.debug:
            given.debug.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--debug {given.debug}: no folder: {error.strerror}") from None


def debugged(named: Iterable[Named], folder: Path, classifier: Classifier) -> Iterator[Named]:
    """Pass images on, and write what the network sees of each, <number>-<name>-<stage>.png."""
    for number, (name, image) in enumerate(named, 1):
        if not isinstance(image, InputError):
            with suppress(InputError):  # which the answer will be
                pixels = images.pixels(image, name)
                seen = framing.stages(pixels, classifier.size, classifier.ink_size)
                for stage, picture in seen.items():
                    plain = re.sub(r"[^\w.-]", "-", name, flags=re.ASCII)[-200:]
                    Image.fromarray(picture).save(folder / f"{number:04}-{plain}-{stage}.png")
        yield name, image


def predictions(given: argparse.Namespace) -> str | None:
    """Write the answers; return what to say of images without one, if there are any."""
    check(given)
    paths, classifier = [*map(Path, given.images)], Classifier(given.model)
    named = sources.images(paths)
    if given.debug:
        named = debugged(named, given.debug, classifier)
    writer: Callable[[str], str | None] | None = (lambda _: "one") if given.same_writer else None
    unknown = list[str]()
    if given.writer_regex:
        writer = partial(writer_of, given.writer_regex, unknown)
    if writer and not classifier.saved:
        raise InputError(f"{given.model}: {NO_WRITERS}")
    answers = classifier.answers(named, None if writer else _BATCH, cpu_count(), writer)
    direct = {*map(sources.shown, paths)}
    bad, others, quiet = list[str](), list[str](), not given.output and sys.stdout.isatty()
    answered = False

    def rows() -> Iterator[list[Any]]:
        nonlocal answered
        for name, answer in tqdm(answers, unit="image", disable=quiet or None):
            if isinstance(answer, Prediction):
                answered = True
                top = cells(answer.top(given.top), given.top)
                yield [name, *top, list(answer.confusable), None]
            elif name not in direct and images.is_other_kind(name, answer):
                others.append(name)
            else:
                bad.append(str(answer))
                reason = str(answer).removeprefix(f"{name}: ")
                yield [name, *cells([], given.top), [], reason]

    numbers = ["", *range(2, given.top + 1)]
    labels = [f"{each}{number}" for number in numbers for each in ("label", "probability")]
    write(["path", *labels, "confusable", "error"], rows(), given.output)
    if others:
        print(f"predict: not images ({len(others):,}): {listed(others)}", file=sys.stderr)
    if unknown:
        found = f"{len(unknown):,} alone, as --writer-regex finds no writer in the path"
        print(f"predict: {found}: {listed(unknown)}", file=sys.stderr)
    if bad:
        return f"predict: {len(bad):,} without an answer: {listed(bad)}"
    return None if answered else "predict: no images"


def cells(top: Sequence[tuple[str, float]], count: int) -> list[str | float | None]:
    """Return the most probable labels and their probabilities as so many pairs of cells."""
    found = [each for label, probability in top for each in (label, round(probability, 4))]
    return [*found, *[None] * (2 * count - len(found))]


def write(columns: Sequence[str], rows: Iterable[list[Any]], output: Path | None) -> None:
    """Write a table to a file, CSV or JSON, or as it comes to standard output."""
    if output and output.suffix.lower() == ".json":
        content = [dict(zip(columns, row, strict=True)) for row in rows]
        files.write_json(output, content, output.parent)
        return
    texts = ([" ".join(x) if isinstance(x, list) else x for x in row] for row in rows)
    if output:
        files.write_csv(output, columns, texts, output.parent)
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([printable(path), *rest] for path, *rest in texts)


def main() -> None:
    """Run a command; an error is one line and exit status 1."""
    given = parser().parse_args()
    name = given.command
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - by 2>&-
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of torch: the other cores decode and frame
    try:
        sys.exit(given.run(given))
    except InputError as error:
        sys.exit(f"{name}: {error}")
    except BrokenPipeError:  # the reader has seen enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        sys.exit(f"{name}: {error.filename or 'the output'}: {error.strerror}")
    except MemoryError:
        sys.exit(f"{name}: out of memory")
    except KeyboardInterrupt:
        sys.exit(130)
