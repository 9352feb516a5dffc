"""Classifier: the one way from an image to an answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from handwriting.characters import protocols, writer_model
from handwriting.core.errors import InputError
from handwriting.data import geometry as features
from handwriting.data.dataset import Split
from handwriting.preprocessing import framing
from handwriting.preprocessing.framing import Framed
from handwriting.training import checkpoint, loop
from handwriting.training.checkpoint import Saved


class Prediction(NamedTuple):
    """The answer for one image."""

    label: str
    class_index: int  # of the label in Classifier.classes
    probabilities: NDArray[np.float32]  # [classes], they add up to 1


class Classifier:
    """The networks of a checkpoint, which answer by the mean of their probabilities
    (Lakshminarayanan, Pritzel and Blundell 2017, arXiv 1612.01474).

        classifier = Classifier("artifacts/sample/characters.pt")
        label, class_index, probabilities = classifier.predict("letter.png")

    Raises InputError for a file that is no checkpoint, or whose networks differ in classes or size.
    """

    def __init__(self, networks: Path | str | Sequence[Saved]) -> None:
        if isinstance(networks, Path | str):
            name, self.saved = str(networks), checkpoint.load(Path(networks))
        else:
            name, self.saved = "the list", list(networks)
        shapes = [each.network.shape for each in self.saved]
        self.shape, self.classes = shapes[0], shapes[0].classes
        if len({(each.classes, each.size, each.ink_size) for each in shapes}) > 1:
            raise InputError(f"{name}: networks with different classes or image sizes")

    @classmethod
    def all_of(cls, path: Path | str) -> list["Classifier"]:
        """Return a classifier for each network of a checkpoint, in their order."""
        return [cls([each]) for each in checkpoint.load(Path(path))]

    def logits(
        self,
        pixels: NDArray[np.uint8],
        geometry: NDArray[np.float32] | None = None,
        writers: Sequence[str | None] | None = None,
    ) -> torch.Tensor:
        """Return float32 [N, classes] of uint8 [N, 1, size, size] and geometry, float32 [N, 4].

        Both are as framing.prepare() makes them.

        Images with the same entry in `writers` are by one writer, and each is adapted to the
        others; None is unknown. Without `geometry` every image has the mean one.
        """
        standard = np.zeros((len(pixels), features.NUMBERS), np.float32)
        if geometry is not None:
            standard = features.standardised(geometry)
        given = torch.from_numpy(standard)
        known = writers if geometry is not None and writers and any(writers) else None
        found = []
        for saved in self.saved:
            takes = given if saved.network.shape.geometry_channels else None
            logits = loop.logits_of(saved.network, torch.from_numpy(pixels), takes)
            if known and (fitted := protocols.writer_model(saved)):
                logits = fitted.adapted_group(logits, given, writer_model.numbered(known))
            found.append(logits)
        return mean_prediction(found) if len(found) > 1 else found[0]

    def probabilities(
        self,
        pixels: NDArray[np.uint8],
        geometry: NDArray[np.float32] | None = None,
        writers: Sequence[str | None] | None = None,
    ) -> NDArray[np.float32]:
        """Return float32 [N, classes], rows adding up to 1; arguments as of logits()."""
        return self.logits(pixels, geometry, writers).softmax(1).numpy()

    def prepare(self, content: bytes, name: str) -> Framed:
        """Return the bytes of an image file, framed. Raises InputError with `name` in it."""
        return framing.prepare(content, name, self.shape.size, self.shape.ink_size)

    def predict(self, image: Path | str | bytes) -> Prediction:
        """Return the label, its index and all probabilities for an image file, or its bytes.

        Any size and mode; pen on paper or white on black. Raises InputError if it is no image.
        """
        content, name = (image, "image") if isinstance(image, bytes) else (read(image), str(image))
        framed = self.prepare(content, name)
        geometry = np.array([framed.geometry], np.float32)
        probabilities = self.probabilities(framed.image[None, None], geometry)[0]
        index = int(probabilities.argmax())
        return Prediction(self.classes[index], index, probabilities)


def out_of_fold_logits(
    networks: Sequence[Saved], split: Split, fold_of: NDArray[np.int64], pixels: NDArray[np.uint8]
) -> torch.Tensor:
    """Return logits, float32 [N, classes], as users get them, of pixels [N, 1, size, size] of a
    split's rows: each by the network of its fold, which was not trained on it."""
    logits = torch.empty(len(split.labels), len(split.classes))
    for rows, saved in zip(protocols.rows_of_folds(fold_of), networks, strict=True):
        logits[rows] = Classifier([saved]).logits(pixels[rows], split.geometry[rows])
    return logits


def mean_prediction(logits: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the log of the mean probabilities of several networks, [N, classes] each."""
    return torch.stack([each.softmax(1) for each in logits]).mean(0).clamp(min=1e-30).log()


def read(path: Path | str) -> bytes:
    """Return the content of a file. Raises InputError naming it."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
