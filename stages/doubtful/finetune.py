"""Train on doubtful labels from random weights: used as given, and by forward correction.

reads   data/tensors/<source>/doubtful/train.safetensors,
        artifacts/<source>/label_noise/doubtful.json
writes  artifacts/<source>/doubtful-{naive,corrected}.pt, a network for each seed
"""

from dataclasses import replace
from pathlib import Path

from handwriting.core import cli, files, params
from handwriting.data import dataset
from handwriting.noise.forward_correction import ForwardCorrected
from handwriting.training import checkpoint, pretrained, runs
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute
from handwriting.training.loop import Plan
from handwriting.training.losses import Objective
from handwriting.training.optimizer import Recipe
from handwriting.training.pretrained import Doubtful, ModelSize, Pretrain
from handwriting.training.runs import Data


def main(scratch: Path, source: str) -> None:
    compute = params.load("compute", Compute)
    recipe = params.load("training", Recipe)
    sizes = params.load("model_sizes", dict[str, ModelSize])
    settings = params.load("pretrain", Pretrain)
    of_source = params.load(f"{source}.doubtful", Doubtful)
    [split] = dataset.load_splits(source, "doubtful", "train")
    found = files.read_json(Path(f"artifacts/{source}/label_noise/doubtful.json"))
    matrix = ForwardCorrected(tuple(map(tuple, found["matrix"])))
    recipe = params.changed(recipe, settings.training, "pretrain.training")
    given = recipe.cross_entropy
    plan = Plan(recipe, settings.augmentation, of_source.epochs, given, "doubtful", 0)
    objectives: dict[str, Objective] = {"naive": given, "forward_correction": matrix}
    jobs = [
        pretrained.fresh(
            Run(data="doubtful", method=method, seed=seed),
            split,
            of_source.model_size,
            sizes,
            settings,
            replace(plan, objective=objective, seed=seed),
        )
        for method, objective in objectives.items()
        for seed in range(of_source.seeds)
    ]
    trained = runs.train(jobs, Data(split), compute, scratch)
    names = zip(objectives, ("doubtful-naive", "doubtful-corrected"), strict=True)
    for method, name in names:
        networks = [each.saved for each in trained if each.saved.run.method == method]
        checkpoint.save(networks, Path(f"artifacts/{source}/{name}.pt"), scratch)


if __name__ == "__main__":
    cli.run(main)
