"""Train on doubtful labels from random weights: used as given, and by forward correction.

reads   data/tensors/<source>/doubtful/train.safetensors,
        artifacts/<source>/label_noise/doubtful.json
writes  artifacts/<source>/doubtful-{naive,corrected}.pt, a network for each seed
"""

from pathlib import Path

from handwriting.core import cli, files
from handwriting.core.errors import say
from handwriting.data import dataset
from handwriting.noise.forward_correction import ForwardCorrected
from handwriting.training import checkpoint, runs
from handwriting.training.checkpoint import Run
from handwriting.training.losses import Objective
from handwriting.training.runs import Data
from stages.doubtful import settings


def main(scratch: Path, source: str) -> None:
    given, artifacts = settings.load(source), Path(f"artifacts/{source}")
    [split] = dataset.load_splits(source, "doubtful", "train")
    found = files.read_json(artifacts / "label_noise/doubtful.json")
    matrix = ForwardCorrected(tuple(map(tuple, found["matrix"])))
    objectives: dict[str, Objective] = {
        "naive": given.recipe.cross_entropy,
        "forward_correction": matrix,
    }
    jobs = [
        job
        for method, objective in objectives.items()
        for job in given.jobs(
            Run(data="doubtful", method=method), split, given.doubtful.epochs, objective
        )
    ]
    trained = runs.train(jobs, Data(split), given.compute, scratch)
    names = zip(objectives, ("doubtful-naive", "doubtful-corrected"), strict=True)
    for method, name in names:
        networks = [each.saved for each in trained if each.saved.run.method == method]
        checkpoint.save(networks, artifacts / f"{name}.pt", scratch)
        say(f"{name}: {len(networks)} networks, {given.doubtful.epochs:g} epochs")


if __name__ == "__main__":
    cli.run(main)
