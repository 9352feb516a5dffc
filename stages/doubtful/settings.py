"""What the stages of doubtful labels share: their settings, and the networks that they train."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from handwriting.core import params
from handwriting.data.dataset import Split
from handwriting.training import pretrained
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute
from handwriting.training.loop import Plan
from handwriting.training.losses import Objective
from handwriting.training.optimizer import Recipe
from handwriting.training.pretrained import Doubtful, ModelSize, Pretrain
from handwriting.training.runs import Job


class Settings(NamedTuple):
    """The settings of a source."""

    compute: Compute
    recipe: Recipe
    sizes: Mapping[str, ModelSize]
    pretrain: Pretrain
    doubtful: Doubtful

    def jobs(self, run: Run, split: Split, epochs: float, objective: Objective) -> list[Job]:
        """Return how a network for each seed is trained from random weights on a split."""
        plan = Plan(self.recipe, self.pretrain.augmentation, epochs, objective, run.data, 0)
        fresh = split, self.doubtful.model_size, self.sizes, self.pretrain
        return [
            pretrained.fresh(replace(run, seed=seed), *fresh, replace(plan, seed=seed))
            for seed in range(self.doubtful.seeds)
        ]


def load(source: str) -> Settings:
    """Return the settings of a source."""
    compute = params.load("compute", Compute)
    training = params.load("training", Recipe)
    sizes = params.load("model_sizes", dict[str, ModelSize])
    pretrain = params.load("pretrain", Pretrain)
    doubtful = params.load(f"{source}.doubtful", Doubtful)
    recipe = params.changed(training, pretrain.training, "pretrain.training")
    return Settings(compute, recipe, sizes, pretrain, doubtful)
