"""The exported network answers as the network does, whatever its shape."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from handwriting.characters import writer_model as hand
from handwriting.training import export, model
from handwriting.training.model import Network, Shape

SHAPE = Shape(
    classes=("a", "b", "c"),
    size=36,
    box=28,
    margin=2,
    widths=(8, 12, 16),
    stem_stride=2,
    pooled=(1,),
    grid=1,
    place=5,
    temperature=0.67,
)


def trained(shape: Shape) -> Network:
    """A network whose every weight and statistic is its own."""
    network = model.fresh(shape, 0).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.add_((torch.rand(tensor.shape, generator=generator) - 0.5) * 0.2)
    return network


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"place": 0},
        {"grid": 2},
        {"grid": 3},  # parts that overlap
        {"stem_stride": 1, "pooled": (0, 2), "margin": 0, "size": 28, "temperature": 1.0},
    ],
    ids=str,
)
def test_onnxruntime_and_torch_agree_on_100_images(changes: dict[str, object]) -> None:
    shape = replace(SHAPE, **changes)  # type: ignore[arg-type]
    network = trained(shape)
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (100, 1, shape.size // 4, shape.size // 4), np.uint8)
    images = np.kron(coarse, np.ones((4, 4), np.uint8))
    place = random.random((100, 4), np.float32)
    place[0] = 0  # a height that has no logarithm
    given = {"image": images.astype(np.float32)} | ({"place": place} if shape.place else {})
    session = onnxruntime.InferenceSession(export.to_onnx(network, {}))
    [found] = session.run(["probabilities"], given)
    with torch.no_grad():
        numbers = hand.standardised(torch.from_numpy(place)) if shape.place else None
        logits = network(torch.from_numpy(images), numbers)
    wanted = logits.softmax(1).numpy()
    assert np.abs(found - wanted).max() < 1e-6
    assert wanted.std(0).max() > 1e-4  # the answers do differ between the images


def test_equal_networks_give_equal_bytes_that_name_the_classes() -> None:
    first, second = (export.to_onnx(trained(SHAPE), {"train": "digest"}) for _ in range(2))
    assert first == second
    about = onnxruntime.InferenceSession(first).get_modelmeta().custom_metadata_map
    assert about == {"classes": "a b c", "train": "digest"}
