"""Train on mnistTask3 from random weights with its wrong labels used as given.

reads   data/tensors/<source>/mnistTask3/{train,validation}.safetensors,
        artifacts/<source>/pretrained/random.pt
writes  artifacts/<source>/mnistTask3-naive.pt (seed 0) and, of all seeds,
        artifacts/<source>/runs/mnistTask3/naive/{networks.pt,curves.csv,first_steps.csv}
"""

from pathlib import Path

from pydantic import PositiveFloat, PositiveInt

from handwriting.core import cli, params
from handwriting.core.errors import say
from handwriting.data import dataset
from handwriting.training import pretrained, runs
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute
from handwriting.training.loop import Plan
from handwriting.training.optimizer import Recipe
from handwriting.training.pretrained import Digits
from handwriting.training.runs import Data

STREAM = "mnistTask3 naive"


@params.section
class Naive:
    """The section naive."""

    epochs: PositiveFloat


def main(scratch: Path, source: str) -> None:
    compute = params.load("compute", Compute)
    training = params.load("training", Recipe)
    settings = params.load("naive", Naive)
    digits = params.load(f"{source}.digits", Digits)
    seeds = params.load(f"{source}.seeds.naive", PositiveInt)
    data = Data(*dataset.load_splits(source, "mnistTask3", "train", "validation"))
    networks = pretrained.load(pretrained.path(source, "random"), digits.model_size, seeds)
    run, objective = Run(data="mnistTask3", method="naive"), training.cross_entropy
    plan = Plan(training, digits.augmentation, settings.epochs, objective, STREAM, 0)
    jobs = pretrained.jobs(networks, digits.model_size, run, plan, data.train)
    trained = runs.train(jobs, data, compute, scratch)
    folder = Path(f"artifacts/{source}")
    runs.store(trained, folder / "runs/mnistTask3/naive", folder / "mnistTask3-naive.pt", scratch)
    say(runs.counted(trained, "validation images, by their given labels"))
    say("Expected: about 1 in 9, as the labels are wrong.")


if __name__ == "__main__":
    cli.run(main)
