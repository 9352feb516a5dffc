"""The labels of people's own images, examined: what is wrong with them, and with which."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from handwriting import images
from handwriting.classifier import Classifier
from handwriting.core.errors import InputError, listed
from handwriting.data.dataset import Split
from handwriting.images import Image, Named
from handwriting.noise import examination, ranking, wording
from handwriting.noise.diagnosis import Diagnosis
from handwriting.noise.examination import Examination
from handwriting.noise.ranking import Row
from handwriting.preprocessing.framing import Framed

_SIZE, _INK_SIZE = 28, 20  # pixels, as MNIST's, where no network is given
_MOST_CLASSES, _FEW = 200, 10  # classes; images of one, under which little is known of it
_ROUGH = 50  # the same, where no network knows the classes
_STEPS = 60  # of training on the given labels at least, where no network knows the classes
_TAKEN = 0.05  # of the images: a class of the network that so many are taken for is one of the set
_NEGLIGIBLE = 0.05  # p_wrong, under which an image is not expected to be found wrong
SHARES = (0.8, 0.95, 0.99)  # of the wrong labels, to be found by looking from the top


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """The labels of a set, examined."""

    classes: tuple[str, ...]
    rows: list[Row]  # of all images, the likeliest to be wrong first
    diagnosis: Diagnosis
    limits: list[str]  # what cannot be known
    pixels: dict[str, NDArray[np.uint8]]  # of each image that could be read, [S, S]

    @property
    def sentence(self) -> str:
        """The verdict."""
        return wording.sentence(self.diagnosis, self.classes, len(self.listed))

    @property
    def listed(self) -> list[Row]:
        """The rows with a reason."""
        return [row for row in self.rows if row.reason]

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.listed

    @property
    def absent(self) -> set[str]:
        """The classes that no image seems to be of: nothing is measured of their labels."""
        return {*self.classes} - {row.likeliest for row in self.rows}

    def to_look_at(self) -> dict[float, int]:
        """Return how many rows, from the top, are expected to hold these shares of the wrong."""
        likely = [row.p_wrong or 0.0 for row in self.rows]
        found = np.cumsum([each if each > _NEGLIGIBLE else 0.0 for each in likely])
        total = found[-1] if len(found) else 0.0
        return {each: int(np.searchsorted(found, each * total) + 1) for each in SHARES}

    def cleaned(self) -> list[tuple[str, str]]:
        """Return path and label of the images that are worth training on; see ranking.cleaned()."""
        return ranking.cleaned(self.rows)


def diagnose(
    given: Sequence[Image],
    labels: Sequence[object] | NDArray[Any],
    model: Classifier | Path | str | None = None,
) -> Diagnosed:
    """Return what is wrong with the labels of images, and with which.

    Images as Classifier.predict() takes them, with a label each. `model` knows the classes; without
    one, networks learn them from the labels, most of which must then be right. Raises InputError if
    there are fewer than 2 classes or more than 200, or hardly an image that can be read.
    """
    if len(given) != len(labels):
        raise InputError(f"{len(given):,} images and {len(labels):,} labels")
    paths = (Path, str)
    named = [(str(x) if isinstance(x, paths) else f"image {i}", x) for i, x in enumerate(given)]
    texts = [None if each is None else str(each) for each in labels]
    return examined(named, texts, opened(model))


def opened(model: Classifier | Path | str | None) -> Classifier | None:
    """Return the network of a name or path."""
    return model if model is None or isinstance(model, Classifier) else Classifier(model)


def examined(
    named: Sequence[Named],
    labels: Sequence[str | None],
    classifier: Classifier | None,
    processes: int = 1,
) -> Diagnosed:
    """Return the labels of named images, examined; errors as of diagnose().

    Files that are no images, and do not say that they are, are passed over. An image without a
    label is a row with that reason. So many processes read images: they import the calling script.
    """
    size = (classifier.size, classifier.ink_size) if classifier else (_SIZE, _INK_SIZE)
    framed = images.framed(named, *size, processes)
    bar = tqdm(framed, "read", len(named), unit="image", disable=None, leave=False)
    found = [(name, label, each) for (name, each), label in zip(bar, labels, strict=True)]
    good = [(n, label, x) for n, label, x in found if label and isinstance(x, Framed)]
    bad = [each for each in found if not (each[1] and isinstance(each[2], Framed))]
    given = {str(label) for _, label, _ in good}
    if not 2 <= len(given) <= _MOST_CLASSES or len(good) < 2 * len(given):
        what = f"{len(good):,} images that can be read, of {len(given)} classes"
        needed = f"2 to {_MOST_CLASSES} classes are needed, and twice as many images"
        first = next((f" ({image})" for *_, image in bad if isinstance(image, InputError)), "")
        raise InputError(f"{what}: {needed}{first}")
    pixels, geometry = images.stacked([each for _, _, each in good])
    known = classifier.probabilities(pixels, geometry) if classifier else None
    classes = _classes(given, classifier, known)
    label_of = {name: label for label, name in enumerate(classes)}
    indices = np.array([label_of[label] for _, label, _ in good], np.int64)
    split = Split(pixels, indices, geometry, classes, size[1])
    looked = _examine(split, classifier, known)
    names, others = [name for name, _, _ in good], [*_without_image(bad)]
    blank = [row for row in others if row.p_wrong]
    unread = [row for row in others if not row.p_wrong]
    return Diagnosed(
        classes=classes,
        rows=[*blank, *ranking.ranked(names, split, looked), *unread],
        diagnosis=looked.diagnosis,
        limits=[*_limits(split, classifier)],
        pixels=dict(zip(names, split.images[:, 0], strict=True)),
    )


def _classes(
    given: set[str], classifier: Classifier | None, known: NDArray[np.float32] | None
) -> tuple[str, ...]:
    """Return the classes of a set: the network's too, of which it may hold images under others.

    Those are many of the network's classes, or one that it takes some images for, but no class that
    it confuses with one of the set.
    """
    if classifier is None or known is None:
        return tuple(sorted(given, key=_natural))
    if missing := sorted(given - {*classifier.classes}):
        raise InputError(f"the network knows no class {', '.join(missing[:5])}")
    if len(classifier.classes) <= 2 * len(given):
        return classifier.classes
    taken = np.bincount(known.argmax(1), minlength=len(classifier.classes)) / len(known)
    alike = {x for pair in classifier.network.confusable if given & {*pair} for x in pair}
    return tuple(
        each
        for each, share in zip(classifier.classes, taken, strict=True)
        if each in given or (share >= _TAKEN and each not in alike)
    )


def _natural(name: str) -> tuple[float, str]:
    """Numbers by their value, before all other names."""
    return (float(name) if name.isdecimal() else math.inf, name)


def _examine(
    split: Split, classifier: Classifier | None, known: NDArray[np.float32] | None
) -> Examination:
    networks, prior, count = [], None, len(split.labels)
    with TemporaryDirectory() as scratch:
        effort = examination.usual_effort(count, Path(scratch))
        if classifier is None or known is None:  # the labels alone must teach the classes
            least = _STEPS * effort.plan.recipe.batch_size / (count * (1 - 1 / effort.folds))
            epochs = max(effort.epochs[0], least), max(effort.epochs[1], least)
            effort = replace(effort, epochs=epochs)
        else:
            columns = [classifier.classes.index(each) for each in split.classes]
            shares = known[:, columns] + 1e-9
            prior = shares.astype(np.float64) / shares.sum(1, keepdims=True)
            if classifier.classes == split.classes:  # what follows sees the pixels alone
                saved = [each.network for each in classifier.saved]
                networks = [each for each in saved if not each.shape.geometry_channels]
        starts = networks or [examination.fresh_network(split)]
        return examination.examine(split, starts, prior, effort)


def _without_image(bad: Sequence[tuple[str, str | None, Framed | InputError]]) -> Iterator[Row]:
    """Yield the rows of images that are blank, cannot be read or have no label."""
    for name, label, image in bad:
        if not isinstance(image, InputError):
            yield Row(name, "", None, None, None, "without a label")
        elif "blank" in str(image):
            yield Row(name, label or "", None, 1.0, None, "blank")
        elif not images.is_other_kind(name, image):
            problem = str(image).removeprefix(f"{name}: ")
            yield Row(name, label or "", None, None, None, f"not read: {problem}")


def _limits(split: Split, classifier: Classifier | None) -> Iterator[str]:
    """Yield what cannot be known of these images."""
    counts = np.bincount(split.labels, minlength=len(split.classes))
    if few := [f"{split.classes[i]} ({n})" for i, n in enumerate(counts) if n < _FEW]:
        yield f"fewer than {_FEW} images of a class, of which little can be said: {listed(few)}"
    if not classifier:
        if counts.min() < _ROUGH:
            yield f"with fewer than {_ROUGH} images of a class the verdict is rough"
        yield (
            "no network that knows the classes was given: that all classes have changed names would"
            " not be seen, and a class most of whose labels are wrong is taken for what they say"
        )
