"""What is shipped: the exported network predicts as the network does, whatever its shape."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from handwriting import onnx_export
from handwriting.classifier import Classifier
from handwriting.data import dataset, geometry
from handwriting.training import model
from handwriting.training.checkpoint import Run, Saved
from handwriting.training.model import Shape
from tests import networks

SHAPE = replace(networks.SHAPE, geometry_channels=5, temperature=0.67)
Exporter = Callable[[Saved], bytes]


@pytest.fixture(scope="module")
def to_onnx() -> Iterator[Exporter]:
    """The exporter in a process of its own: where it has run, a training cannot fork."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield lambda *given: pool.submit(onnx_export.to_onnx, *given).result()


def trained(shape: Shape) -> Saved:
    """A network whose every weight and statistic is its own."""
    network = model.fresh(shape, "a test", 0).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.add_((torch.rand(tensor.shape, generator=generator) - 0.5) * 0.2)
    data = {"train": "digest", "validation": ""}
    return Saved(network, Run(data="a test"), {"confusable": [["1", "7"]], "data": data})


NO_GEOMETRY = {"geometry_channels": 0, "stem_stride": 1, "pool_after": (0, 2), "crop_border": 0}


# With a head_pool of 4 the parts overlap.
@pytest.mark.parametrize("changes", [{}, {"head_pool": 4}, NO_GEOMETRY], ids=str)
def test_onnxruntime_and_torch_agree_on_100_images(
    changes: dict[str, object], to_onnx: Exporter
) -> None:
    shape = replace(SHAPE, **changes)  # type: ignore[arg-type]
    saved = trained(shape)
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (100, 1, shape.size // 4, shape.size // 4), np.uint8)
    images = np.kron(coarse, np.ones((4, 4), np.uint8))
    shares = random.random((100, 4), np.float32)
    shares[0] = 0  # a height that has no logarithm
    given = {"image": images.astype(np.float32)}
    given |= {"geometry": shares} if shape.geometry_channels else {}
    session = onnxruntime.InferenceSession(to_onnx(saved))
    [found] = session.run(["probabilities"], given)
    with torch.no_grad():
        features = torch.from_numpy(geometry.standardised(shares))
        wanted = saved.network(torch.from_numpy(images), features).softmax(1).numpy()
    assert np.abs(found - wanted).max() < 1e-6
    assert wanted.std(0).max() > 1e-4  # the predictions differ between the images


def test_equal_networks_give_equal_bytes_that_say_what_they_are_and_name_no_path(
    to_onnx: Exporter,
) -> None:
    first, second = (to_onnx(trained(SHAPE)) for _ in range(2))
    assert first == second
    assert str(Path(__file__).parents[3]).encode() not in first
    about = onnxruntime.InferenceSession(first).get_modelmeta().custom_metadata_map
    assert [*about] == ["handwriting"]
    assert json.loads(about["handwriting"]) == {
        **{"classes": list("0123456789"), "size": 28, "ink_size": 20},
        **{"confusable": [["1", "7"]], "data": {"train": "digest"}},
    }


SHIPPED = {"characters": "characters", "mnist-characters": "mnist", "mnistTask3-random": "mnist"}


@pytest.mark.parametrize(("name", "data"), SHIPPED.items())
def test_a_shipped_network_predicts_the_same_without_torch(
    name: str, data: str, reproduced: Path
) -> None:
    path = reproduced / f"artifacts/sample/{name}.onnx"
    split = dataset.load(reproduced / f"data/tensors/sample/{data}/train.safetensors")
    given = {"image": split.images.astype(np.float32), "geometry": split.geometry}
    [saved] = Classifier(path.with_suffix(".pt")).saved
    assert saved.network.shape.temperature != 1
    session = onnxruntime.InferenceSession(path)
    [found] = session.run(None, {each.name: given[each.name] for each in session.get_inputs()})
    shares = split.geometry if split.geometry.size else None
    wanted = Classifier([saved]).probabilities(split.images, shares)
    assert np.abs(found - wanted).max() < 1e-5
    assert (found.argmax(1) == wanted.argmax(1)).all()


def test_the_ensemble_has_all_networks_and_the_model_card_the_metrics(reproduced: Path) -> None:
    folder = reproduced / "artifacts/sample"
    members = Classifier(folder / "characters-ensemble.pt").saved
    protocols = ["all", *["seen-writers"] * 2, *["unseen-writers"] * 2]
    assert [each.run.method for each in members] == protocols
    card = (folder / "model-card.md").read_text()
    for name in ("characters", "characters-ensemble-adapted"):
        found = json.loads((reproduced / f"metrics/sample/{name}.json").read_text())
        interval = f"{100 * found['low']:.2f} to {100 * found['high']:.2f}%"
        assert f"| `{name}` | {100 * found['accuracy']:.2f}% | {interval} |" in card
