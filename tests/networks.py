"""A small network, a recipe, and data for them."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from handwriting.data.dataset import Split
from handwriting.training.augmentation import Augmentation
from handwriting.training.compute import Compute
from handwriting.training.loop import Labelled, Plan
from handwriting.training.losses import CrossEntropy
from handwriting.training.model import Shape
from handwriting.training.optimizer import Recipe

SHAPE = Shape(
    classes=tuple("0123456789"),
    size=28,
    ink_size=20,
    crop_border=2,
    widths=(8, 8, 16),
    stem_stride=2,
    pool_after=(1,),
    head_pool=1,
    geometry_channels=0,
    temperature=1,
)
RECIPE = Recipe(
    batch_size=32,
    warmup=0.1,
    label_smoothing=0.1,
    curve_points=3,
    muon_lr=0.24,
    muon_momentum=0.6,
    head_lr=0.2,
    bias_lr=0.05,
    sgd_momentum=0.85,
    weight_decay=5e-4,
    layer_decay=1,
)
AFFINE = Augmentation(rotation=10, scale=0.1, shear=0.1, shift=1)
ALL_AUGMENTATIONS = replace(AFFINE, aspect=0.1, elastic=0.05, stroke=0.4, mixup=1)
COMPUTE = Compute(device="cpu", precision="float32", threads=1, processes=1)
PLAN = Plan(RECIPE, AFFINE, 2, CrossEntropy(label_smoothing=0.1), "a test", 0)


def split(count: int, **changes: Any) -> Split:
    """Noise with labels in turn."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 1, 28, 28), np.uint8)
    none = np.zeros((count, 0), np.float32)
    made = Split(images, np.arange(count) % 10, none, SHAPE.classes, SHAPE.ink_size)
    return replace(made, **changes)


def bars(count: int, seed: int = 0) -> Labelled:
    """Four classes of noisy pictures: a bar at one of four heights."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    images = torch.randint(0, 60, (count, 1, 28, 28), generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[0, 5 * label + 4 : 5 * label + 7, 6:22] = 255
    return Labelled(images.to(torch.uint8), labels)
