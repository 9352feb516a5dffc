"""What is read off a learning curve, a network's operations, and the similarity of layers."""

import math
from dataclasses import asdict

import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from handwriting.evaluation import convergence
from handwriting.training import model
from tests import networks, workspace


def curve(*points: tuple[int, int, float]) -> pd.DataFrame:
    return pd.DataFrame(points, columns=["step", "images_seen", "accuracy"])


def test_a_threshold_is_reached_on_the_straight_line_between_two_points() -> None:
    rising = ((0, 0, 0.1), (10, 1000, 0.8), (20, 2000, 0.96))
    swings = (*rising, (30, 3000, 0.76), (40, 4000, 1.0))
    assert convergence.reached(curve(*rising), 0.88) == (15, 1500)
    assert all(map(math.isnan, convergence.reached(curve(*rising), 0.99)))
    assert convergence.reached(curve(*swings), 0.88) == (15, 1500)
    assert convergence.kept(curve(*swings), 0.88) == (35, 3500)
    assert convergence.kept(curve(*rising), 0.88) == (15, 1500)
    assert all(map(math.isnan, convergence.kept(curve(*swings[:4]), 0.88)))
    assert convergence.kept(curve(*rising), 0.05) == (0, 0)
    assert convergence.area(curve(*rising)) == pytest.approx((0.45 + 0.88) / 2)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("size", ["medium", "large"])
def test_the_operations_counted_are_those_that_torch_counts(size: str, frozen: bool) -> None:
    values = workspace.read_params(workspace.ROOT)["model_sizes"][size]
    shape = model.Shape.of(asdict(networks.SHAPE) | values)
    network = model.fresh(shape, "a test", 0)
    network.body.requires_grad_(not frozen)
    network.norms.requires_grad_(not frozen)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(4, 1, 28, 28)).sum().backward()
    assert convergence.flops_per_image(shape, frozen) == counter.get_total_flops() / 4


def test_smoothness_is_the_mean_norm_and_the_mean_change_of_the_loss() -> None:
    steps = pd.DataFrame({"loss": [2.0, 1.0, 1.5], "gradient_norm": [1.0, 2.0, 3.0]})
    assert convergence.smoothness(steps) == (2, 0.75)
    assert convergence.smoothness(steps[:1]) == (1, 0)


def test_a_network_is_as_far_from_its_mirror_image_as_two_directions_can_be() -> None:
    one, other = (model.fresh(networks.SHAPE, "a test", 0) for _ in range(2))
    assert convergence.distance(one, other) == 0
    for weights in other.body.parameters():
        weights.data *= -3
    assert convergence.distance(one, other) == pytest.approx(2)


def test_unrelated_layers_have_no_alignment() -> None:
    noise = [torch.randn(60, 3000, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    one, other = ((each @ each.T).double().fill_diagonal_(0) for each in noise)
    assert abs(convergence.cka(one, other)) < 0.1
    assert convergence.cka(one, one) == pytest.approx(1)
