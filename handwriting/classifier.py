"""The door that users call: a checkpoint and an image, answered by a label.

python -m handwriting.classifier MODEL IMAGE... | FOLDER | ZIP [--output FILE.csv]
    [--same-hand | --hand-from REGEX]

    classifier = Classifier("artifacts/sample/characters.pt")
    label, index, probabilities = classifier.predict("letter.png")
"""

import argparse
import csv
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from handwriting.characters import writer_model as hand
from handwriting.core import files
from handwriting.core.errors import InputError
from handwriting.preprocessing import framing as images
from handwriting.preprocessing.framing import Framed
from handwriting.raw import archives
from handwriting.training import loop as training
from handwriting.training import model
from handwriting.training.model import Network

_LARGEST = 200 << 20  # bytes of an image file in an archive
# Deflate packs 1,032 to 1 at most, and pen on an uncompressed page comes to some hundreds.
_LIMITS = archives.Limits(max_bytes=10 << 30, max_ratio=1100, max_members=1_000_000)
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


class Prediction(NamedTuple):
    """The answer for one image."""

    label: str
    class_index: int  # of the label in Classifier.classes
    probabilities: NDArray[np.float32]  # [classes], they add up to 1


class Classifier:
    """The networks of a checkpoint, ready to answer: several do so by the mean of what they say
    (Lakshminarayanan, Pritzel and Blundell 2017, arXiv 1612.01474).

    Raises InputError if it is not a checkpoint, or one of networks that do not answer alike.
    """

    def __init__(self, checkpoint: Path | str | list[tuple[Network, dict[str, Any]]]) -> None:
        if isinstance(checkpoint, list):
            name, networks = "the list", checkpoint
        else:
            name, networks = str(checkpoint), model.load_all(Path(checkpoint))
        self.networks = [network for network, _ in networks]
        self.network, self.about = networks[0]  # the first, where it stands for all
        self.classes = self.network.shape.classes
        if (
            len({(each.shape.classes, each.shape.size, each.shape.box) for each in self.networks})
            > 1
        ):
            raise InputError(f"{name}: its networks are of different classes or images")

    @classmethod
    def all_of(cls, path: Path | str) -> list["Classifier"]:
        """A classifier for each network of a checkpoint, in their order."""
        return [cls([each]) for each in model.load_all(Path(path))]

    def logits(
        self,
        pixels: NDArray[np.uint8],
        place: NDArray[np.float32] | None = None,
        hands: Sequence[str | None] | None = None,
    ) -> torch.Tensor:
        """float32 [N, classes] of uint8 [N, 1, size, size] and place float32 [N, 4], as
        images.prepare makes them. Images with the same entry in `hands` are by one writer, and each
        is read in the light of the others; None says that it is not known. Without `place`, every
        image has the average one, which tells nothing of its hand.
        """
        told = hand.numbered(hands) if hands and any(hands) and place is not None else None
        own = torch.zeros(len(pixels), hand.NUMBERS)
        if place is not None:
            own = hand.standardised(torch.from_numpy(place))
        said = []
        for network in self.networks:
            takes = own if network.shape.place else None
            logits = training.logits_of(network, torch.from_numpy(pixels), takes)
            if told is not None and network.shape.place:
                logits = network.hand.together(logits, own, told)
            said.append(logits)
        return mean_answer(said) if len(said) > 1 else said[0]

    def probabilities(
        self,
        pixels: NDArray[np.uint8],
        place: NDArray[np.float32] | None = None,
        hands: Sequence[str | None] | None = None,
    ) -> NDArray[np.float32]:
        """float32 [N, classes], each row adding up to 1, of what logits() takes."""
        return self.logits(pixels, place, hands).softmax(1).numpy()

    def prepare(self, content: bytes, name: str) -> Framed:
        """The bytes of an image file, framed. Raises InputError with `name` in it."""
        shape = self.network.shape
        return images.prepare(content, name, shape.size, shape.box)

    def predict(self, image: Path | str | bytes) -> Prediction:
        """The label, its index and all probabilities for an image file, or the bytes of one.

        Any size and mode; pen on paper or white on black. Raises InputError if it is no image.
        """
        content, name = (image, "image") if isinstance(image, bytes) else (_read(image), str(image))
        framed = self.prepare(content, name)
        place = np.array([framed.place], np.float32)
        probabilities = self.probabilities(framed.image[None, None], place)[0]
        index = int(probabilities.argmax())
        return Prediction(self.classes[index], index, probabilities)


def mean_answer(logits: Sequence[torch.Tensor]) -> torch.Tensor:
    """The logarithm of the mean of the probabilities of several networks, [N, classes] each."""
    return torch.stack([each.softmax(1) for each in logits]).mean(0).clamp(min=1e-30).log()


def _read(path: Path | str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


def sources(given: list[Path]) -> Iterator[tuple[str, str, bytes]]:
    """(name, name for an error, bytes) of every image that the arguments name, in sorted order.

    What is in a zip has its path there, after that of the zip if it is not the only argument.
    """
    for path in given:
        if path == Path():  # of an empty word, which is a variable that a shell has not
            raise InputError("an empty path names no image; ./ is this folder")
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES)
            if not found:
                raise InputError(f"{path}: no images in this folder")
            yield from ((str(each), str(each), _read(each)) for each in found)
        elif path.suffix.lower() == ".zip":
            yield from _members(path, f"{path}/" if len(given) > 1 else "")
        else:
            yield str(path), str(path), _read(path)


def _members(path: Path, prefix: str) -> Iterator[tuple[str, str, bytes]]:
    with archives.opened([path], _LIMITS) as members:
        found = [each for each in members if Path(each.path).suffix.lower() in _SUFFIXES]
        if not found:
            raise InputError(f"{path}: no images in this archive")
        for each in found:
            where = f"{path}: {each.path}"
            if each.size > _LARGEST:
                raise InputError(f"{where}: {each.size:,} bytes are more than an image file has")
            yield prefix + each.path, where, b"".join(each.chunks())


def prepared(
    classifier: Classifier, given: list[Path]
) -> tuple[list[str], NDArray[np.uint8], NDArray[np.float32]]:
    """Of every image that the arguments name, its path, and as Classifier.logits takes them its
    pixels, uint8 [N, 1, size, size], and place, float32 [N, 4]."""
    names: list[str] = []
    framed: list[Framed] = []
    for name, where, content in tqdm(sources(given), unit="image", disable=None):
        names.append(name)
        framed.append(classifier.prepare(content, where))
    pixels = np.stack([each.image for each in framed])[:, None]
    place = np.array([each.place for each in framed], np.float32)
    return names, pixels, place


def answers(
    classifier: Classifier, given: list[Path], hand_of: Callable[[str], str | None]
) -> list[tuple[str, str, float]]:
    """(path, label, confidence) of every image, sorted; `hand_of` tells the writer from a path."""
    names, pixels, place = prepared(classifier, given)
    confidences, indices = (
        classifier.logits(pixels, place, [hand_of(name) for name in names]).softmax(1).max(1)
    )
    labels = (classifier.classes[i] for i in indices)
    return sorted(zip(names, labels, confidences.tolist(), strict=True))


def unknown_writer(_: str) -> None:
    """Nothing is known of who wrote the image at a path."""


def one_writer(_: str) -> str:
    """The same hand for every path."""
    return "one"


def writer_in(pattern: re.Pattern[str], path: str) -> str:
    """The part of a path that a pattern, or its first group, matches: its writer."""
    if not (found := pattern.search(path)):
        raise InputError(f"{path}: --hand-from {pattern.pattern} finds no writer in this path")
    return found[1] if pattern.groups else found[0]


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression of the command line."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"not a regular expression: {error}") from None


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m handwriting.classifier", description=__doc__.split("\n")[0]
    )
    parser.add_argument("model", type=Path, help="a checkpoint, artifacts/<source>/<name>.pt")
    parser.add_argument("images", type=Path, nargs="+", help="image files, folders or zip archives")
    parser.add_argument("--output", type=Path, help="write CSV here: path, label, confidence")
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--same-hand",
        action="store_true",
        help="one person wrote all the images: read each in the light of the others",
    )
    who.add_argument(
        "--hand-from",
        type=pattern,
        metavar="REGEX",
        help="the same, where this part of the path (or its first group) names the writer",
    )
    arguments = parser.parse_args()
    if arguments.hand_from:
        hand_of: Callable[[str], str | None] = partial(writer_in, arguments.hand_from)
    else:
        hand_of = one_writer if arguments.same_hand else unknown_writer
    output = arguments.output
    try:
        if output and (output.is_dir() or output == Path()):
            raise InputError(f"--output {output}: a folder, where a file is to be")
        if output and not output.absolute().parent.is_dir():
            raise InputError(f"--output {output}: there is no folder {output.absolute().parent}")
        torch.set_num_threads(1)
        rows = [
            (name, label, f"{confidence:.4f}")
            for name, label, confidence in answers(
                Classifier(arguments.model), arguments.images, hand_of
            )
        ]
        columns = ("path", "label", "confidence")
        if output:
            files.write_csv(output, columns, rows, output.parent)
        else:
            csv.writer(sys.stdout, lineterminator="\n").writerows([columns, *rows])
    except InputError as error:
        sys.exit(f"predict: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever reads the answers, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        sys.exit(f"predict: {error.filename or 'the output'}: {error.strerror}")
    except UnicodeEncodeError as error:
        sys.exit(f"predict: {error.object!a}: a path that is not UTF-8")


if __name__ == "__main__":
    main()
