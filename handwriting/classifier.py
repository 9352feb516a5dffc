"""Classifier: the one way from an image to an answer."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from handwriting import images
from handwriting.core.errors import InputError, one_line
from handwriting.images import Image, Named
from handwriting.preprocessing.framing import Framed

if TYPE_CHECKING:
    from handwriting.data.dataset import Split
    from handwriting.torch_networks import TorchNetworks
    from handwriting.training.checkpoint import Saved

NAMES = ("characters", "digits")  # the networks in this package
WEIGHTS = Path(__file__).with_name("weights")
_METADATA = "handwriting"  # the property of an ONNX file that says, in JSON, what its network is
_BATCH = 1000  # images that a network is given at a time
NO_WRITERS = "an ONNX network does not adapt to writers, a .pt does"

Pixels = NDArray[np.uint8]  # [N, 1, size, size]
Floats = NDArray[np.float32]  # [N, classes] or, of geometry, [N, 4]
Writers = Sequence[str | None] | None  # of each image; None is unknown


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer for one image."""

    label: str
    class_index: int  # of the label in `classes`
    probability: float  # of the label
    # Classes that cross-validation often confused with the label; of digit networks, none.
    confusable: tuple[str, ...]
    probabilities: Floats = field(repr=False)  # [classes], they add up to 1
    classes: tuple[str, ...] = field(repr=False)

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """Return the k most probable labels with their probabilities."""
        order = np.argsort(-self.probabilities, kind="stable")[:k]
        return [(self.classes[i], float(self.probabilities[i])) for i in order]


class OnnxNetwork:
    """A network that handwriting/onnx_export.py has written, run by onnxruntime.

    Raises InputError for any other file.
    """

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4
        try:
            self.session = onnxruntime.InferenceSession(path, options)
            about = json.loads(self.session.get_modelmeta().custom_metadata_map[_METADATA])
        except KeyError:
            raise InputError(f"{path}: an ONNX network, but none that this project made") from None
        except Exception as error:  # onnxruntime has no class for all of its own
            problem = f"neither a checkpoint nor an ONNX network: {one_line(error)}"
            raise InputError(f"{path}: {problem}") from None
        self.name, self.classes = path, tuple(about["classes"])
        self.size, self.ink_size, self.confusable = (
            about[key] for key in ("size", "ink_size", "confusable")
        )

    def logits(self, pixels: Pixels, geometry: Floats, writers: Writers) -> Floats:
        """Return float32 [N, classes]; arguments as of Classifier.logits()."""
        if writers:
            raise InputError(f"{self.name}: {NO_WRITERS}")
        known = np.where(np.isnan(geometry).any(1, keepdims=True), math.nan, geometry)
        given: dict[str, NDArray[Any]] = {"image": pixels, "geometry": known}
        found: list[Floats] = []
        for start in range(0, len(pixels), _BATCH):
            rows, names = slice(start, start + _BATCH), (x.name for x in self.session.get_inputs())
            fed = {name: given[name][rows].astype(np.float32) for name in names}
            found += self.session.run(["probabilities"], fed)
        return np.asarray(np.log(np.concatenate(found).clip(1e-30)))


class Classifier:
    """A network of this project, or the mean of several.

        classifier = Classifier("artifacts/sample/characters.pt")
        prediction = classifier.predict("letter.png")

    `network` is "characters" or "digits", a network inside the package; the path of an .onnx file,
    which runs on so many `threads`, or of a checkpoint, which needs torch; or what one holds.
    Raises InputError for anything else.
    """

    def __init__(self, network: Path | str | Sequence["Saved"], threads: int = 1) -> None:
        self.network = _opened(network, threads)
        self.classes, self.size = self.network.classes, self.network.size
        self.ink_size = self.network.ink_size

    @classmethod
    def all_of(cls, path: Path | str) -> list["Classifier"]:
        """Return a classifier for each network of a checkpoint, in their order."""
        return [cls([each]) for each in cls(path).saved]

    @property
    def saved(self) -> Sequence["Saved"]:
        """The networks of a checkpoint."""
        return [] if isinstance(self.network, OnnxNetwork) else self.network.saved

    def logits(
        self, pixels: Pixels, geometry: Floats | None = None, writers: Writers = None
    ) -> Floats:
        """Return float32 [N, classes] of uint8 [N, 1, size, size] and geometry, float32 [N, 4].

        Both are as images.prepare() makes them. A row of NaN is unknown, as is all without any; of
        an unknown position the size tells something only beside the writer's others.

        Images with the same entry in `writers` are by one writer, and each is adapted to the
        others; None is unknown.
        """
        if geometry is None:
            geometry = np.full((len(pixels), 4), math.nan, np.float32)
        return self.network.logits(pixels, geometry, writers)

    def probabilities(
        self, pixels: Pixels, geometry: Floats | None = None, writers: Writers = None
    ) -> Floats:
        """Return float32 [N, classes], rows adding up to 1; arguments as of logits()."""
        logits = self.logits(pixels, geometry, writers)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(shares / shares.sum(1, keepdims=True))

    def prepare(self, image: Image, name: str) -> Framed:
        """Return an image, framed. Raises InputError with `name` in it."""
        return images.prepare(image, name, self.size, self.ink_size)

    @overload
    def predict(self, image: Image) -> Prediction: ...
    @overload
    def predict(self, image: list[Image]) -> list[Prediction | InputError]: ...
    def predict(self, image: Image | list[Image]) -> Prediction | list[Prediction | InputError]:
        """Return what an image shows; of a list, for each image that or the error.

        A path, the bytes of a file, a Pillow image or an array: see images.pixels(). Any size and
        mode; pen on paper or white on black. Raises InputError if it is no image.
        """
        if isinstance(image, list):
            return list(self.predict_batch(image))
        name = str(image) if isinstance(image, Path | str) else "image"
        return self.predictions([self.prepare(image, name)])[0]

    def predict_batch(
        self, given: Iterable[Image], batch_size: int = 64, processes: int = 1
    ) -> Iterator[Prediction | InputError]:
        """Yield the answer for each image, or its error, in order, in bounded memory.

        More than one of the `processes` are others, which decode and frame. A script that asks for
        them keeps this call under `if __name__ == "__main__":`, as each imports the script.
        """
        kinds = (Path, str)
        named = ((str(x) if isinstance(x, kinds) else f"image {i}", x) for i, x in enumerate(given))
        return (answer for _, answer in self.answers(named, batch_size, processes))

    def answers(
        self,
        named: Iterable[Named],
        batch_size: int | None,
        processes: int,
        writer: Callable[[str], str | None] | None = None,
    ) -> Iterator[tuple[str, Prediction | InputError]]:
        """Yield the name of each image with its answer or error, a batch at a time; None: all."""
        framed = images.framed(named, self.size, self.ink_size, processes)
        while batch := list(islice(framed, batch_size)):
            good = [(name, each) for name, each in batch if isinstance(each, Framed)]
            writers = [writer(name) for name, _ in good] if writer else None
            found = iter(self.predictions([each for _, each in good], writers))
            for name, each in batch:
                yield name, next(found) if isinstance(each, Framed) else each

    def predictions(self, framed: Sequence[Framed], writers: Writers = None) -> list[Prediction]:
        """Return the answers for framed images; `writers` as of logits()."""
        found = self.probabilities(*images.stacked(framed), writers) if framed else ()
        return [self._prediction(each) for each in found]

    def _prediction(self, shares: Floats) -> Prediction:
        label = self.classes[index := int(shares.argmax())]
        pairs = [{*pair} - {label} for pair in self.network.confusable if label in pair]
        same = tuple(each for each in self.classes if {each} in pairs)
        return Prediction(label, index, float(shares[index]), same, shares, self.classes)


def _opened(network: Path | str | Sequence["Saved"], threads: int) -> "OnnxNetwork | TorchNetworks":
    """Return a network, whose kind is told by its content: torch's files are zip archives."""
    if isinstance(network, list | tuple) and network:
        return _torch(network)
    if not isinstance(network, Path | str):
        raise InputError(f"a network is a name, a path or what a checkpoint holds, not {network!r}")
    if not str(network):
        raise InputError("the network is an empty path")
    path = WEIGHTS / f"{network}.onnx" if str(network) in NAMES else Path(network)
    try:
        with path.open("rb") as file:
            return _torch(path) if file.read(2) == b"PK" else OnnxNetwork(path, threads)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # of a NUL
        raise InputError(f"{path}: {one_line(error)}") from None


def _torch(networks: Path | Sequence["Saved"]) -> "TorchNetworks":
    try:
        from handwriting.torch_networks import TorchNetworks
    except ModuleNotFoundError:
        reason = "a checkpoint needs torch: pip install 'handwriting[train]', or use an .onnx file"
        raise InputError(f"{networks}: {reason}") from None
    return TorchNetworks(networks)


def out_of_fold_logits(
    networks: Sequence["Saved"], split: "Split", fold_of: NDArray[np.int64], pixels: Pixels
) -> Floats:
    """Return logits, float32 [N, classes], as users get them, of pixels [N, 1, size, size] of a
    split's rows: each by the network of its fold, which was not trained on it."""
    logits = np.empty((len(split.labels), len(split.classes)), np.float32)
    for fold, saved in enumerate(networks):
        rows = np.flatnonzero(fold_of == fold)
        logits[rows] = Classifier([saved]).logits(pixels[rows], split.geometry[rows])
    return logits
