"""The door that users call: a checkpoint and an image, answered by a label.

python -m stages.predict MODEL IMAGE... | FOLDER | ZIP [--output FILE.csv]

    classifier = Classifier("artifacts/sample/characters.pt")
    label, index, probabilities = classifier.predict("letter.png")
"""

import argparse
import csv
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from stages.common import files, images, model, training
from stages.common.errors import InputError

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
_BATCH = 256  # images decoded before they are shown to the network


class Prediction(NamedTuple):
    """The answer for one image."""

    label: str
    class_index: int  # of the label in Classifier.classes
    probabilities: NDArray[np.float32]  # [classes], they add up to 1


class Classifier:
    """A checkpoint's network, ready to answer. Raises InputError if it is not a checkpoint."""

    def __init__(self, path: Path | str) -> None:
        self.network, self.about = model.load(Path(path))
        self.classes = self.network.shape.classes

    def logits(self, prepared: NDArray[np.uint8]) -> torch.Tensor:
        """float32 [N, classes] of uint8 [N, 1, size, size] as images.prepare makes them."""
        return training.logits_of(self.network, torch.from_numpy(prepared))

    def probabilities(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 [N, classes] of uint8 [N, 1, size, size] as images.prepare makes them."""
        return self.logits(prepared).softmax(1).numpy()

    def prepare(self, content: bytes, name: str) -> NDArray[np.uint8]:
        """The bytes of an image file as uint8 [1, size, size]. Raises InputError with `name`."""
        shape = self.network.shape
        return images.prepare(content, name, shape.size, shape.box).image[None]

    def predict(self, image: Path | str | bytes) -> Prediction:
        """The label, its index and all probabilities for an image file, or the bytes of one.

        Any size and mode; pen on paper or white on black. Raises InputError if it is no image.
        """
        content, name = (image, "image") if isinstance(image, bytes) else (_read(image), str(image))
        probabilities = self.probabilities(self.prepare(content, name)[None])[0]
        index = int(probabilities.argmax())
        return Prediction(self.classes[index], index, probabilities)


def _read(path: Path | str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


def sources(given: list[Path]) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every image that the arguments name, in sorted order."""
    for path in given:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES)
            if not found:
                raise InputError(f"{path}: no images in this folder")
            yield from ((str(each), _read(each)) for each in found)
        elif path.suffix.lower() == ".zip":
            yield from _members(path)
        else:
            yield str(path), _read(path)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(n for n in archive.namelist() if Path(n).suffix.lower() in _SUFFIXES)
            if not names:
                raise InputError(f"{path}: no images in this archive")
            for name in names:
                yield name, archive.read(name)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read as a zip archive: {error}") from None


def answers(classifier: Classifier, given: list[Path]) -> Iterator[tuple[str, str, float]]:
    """(path, label, confidence) of every image."""
    batch: list[tuple[str, NDArray[np.uint8]]] = []

    def flush() -> Iterator[tuple[str, str, float]]:
        if batch:
            rows = classifier.probabilities(np.stack([image for _, image in batch]))
            for (name, _), row in zip(batch, rows, strict=True):
                yield name, classifier.classes[row.argmax()], float(row.max())
            batch.clear()

    for name, content in tqdm(sources(given), unit="image", disable=None):
        batch.append((name, classifier.prepare(content, name)))
        if len(batch) == _BATCH:
            yield from flush()
    yield from flush()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stages.predict", description=__doc__.split("\n")[0]
    )
    parser.add_argument("model", type=Path, help="a checkpoint, artifacts/<source>/<name>.pt")
    parser.add_argument("images", type=Path, nargs="+", help="image files, folders or zip archives")
    parser.add_argument("--output", type=Path, help="write CSV here: path, label, confidence")
    arguments = parser.parse_args()
    try:
        torch.set_num_threads(1)
        found = answers(Classifier(arguments.model), arguments.images)
        rows = sorted((name, label, f"{confidence:.4f}") for name, label, confidence in found)
        columns = ("path", "label", "confidence")
        if arguments.output:
            files.write_csv(arguments.output, columns, rows, arguments.output.parent)
        else:
            csv.writer(sys.stdout, lineterminator="\n").writerows([columns, *rows])
    except InputError as error:
        sys.exit(f"predict: {error}")
    except OSError as error:
        sys.exit(f"predict: {error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
