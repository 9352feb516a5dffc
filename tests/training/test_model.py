"""The network: its shape, its scaling, and what a transplant carries over."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from handwriting.core.errors import InputError
from handwriting.training import model
from tests.networks import SHAPE, split


def test_a_transplant_carries_the_body_and_a_head_that_its_seed_alone_decides() -> None:
    source, other = (model.fresh(SHAPE, "a test", seed) for seed in (0, 1))
    network, same = (model.transplant(each, tuple("abc"), 1) for each in (source, other))
    for name, tensor in source.state_dict().items():
        if not name.startswith("head"):
            assert torch.equal(network.state_dict()[name], tensor), name
    assert network.head.out_features == 3
    assert torch.equal(network.head.weight, same.head.weight)  # for a fair comparison of bodies


@pytest.mark.parametrize("seed", range(5))
def test_the_head_of_a_transplant_is_not_the_one_that_the_body_set_out_with(seed: int) -> None:
    source = model.fresh(SHAPE, "a test", seed)
    head = model.transplant(source, SHAPE.classes, seed).head.weight
    correlation = torch.corrcoef(torch.stack([head.flatten(), source.head.weight.flatten()]))[0, 1]
    assert correlation.abs() < 5 / head.numel() ** 0.5


def test_the_network_scales_its_input_itself() -> None:
    network = model.fresh(SHAPE, "a test", 0).eval()
    images = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    assert torch.equal(network(images), network(images.float()))


@pytest.mark.parametrize(
    "changes",
    [
        {"crop_border": 14},
        {"crop_border": -1},
        {"pool_after": (0, 1, 2), "head_pool": 4},
        {"pool_after": (3,)},
        {"widths": (10**12,)},
        {"temperature": 0},
        {"ink_size": 100},
    ],
)
def test_a_shape_that_no_network_can_have_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        model.fresh(replace(SHAPE, **changes), "a test", 0)


@pytest.mark.parametrize("size", [28, 48])
@pytest.mark.parametrize("head_pool", [1, 3])
@pytest.mark.parametrize("stem_stride", [1, 2])
def test_one_body_serves_images_of_other_sizes(size: int, head_pool: int, stem_stride: int) -> None:
    shape = replace(SHAPE, size=size, head_pool=head_pool, stem_stride=stem_stride)
    network = model.fresh(shape, "a test", 0).eval()
    assert network(torch.zeros(2, 1, size, size, dtype=torch.uint8)).shape == (2, 10)


def test_unknown_geometry_adds_nothing_to_what_the_head_sees() -> None:
    network = model.fresh(replace(SHAPE, geometry_channels=6), "a test", 0).eval()
    images, geometry = split(3).images, torch.randn(3, 4)
    geometry[1] = torch.nan
    found = network(torch.from_numpy(images), geometry)
    pixels = network.features(torch.from_numpy(images))
    alone = F.linear(pixels, network.head.weight[:, : pixels.shape[1]], network.head.bias)
    assert torch.allclose(found[1], alone[1])
    assert not torch.allclose(found[0], alone[0])
    assert found.isfinite().all()
