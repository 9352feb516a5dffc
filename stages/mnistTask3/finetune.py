"""Fine-tune one kind of pretrained checkpoint on mnistTask3, whose labels are wrong as diagnosed.

First on the given labels alone, by forward correction; then, in rounds, also on the network's own
predictions where it is sure of them. No true label is read, nor are the learning curves measured
with one.

reads   data/tensors/<source>/mnistTask3/{train,validation}.safetensors,
        artifacts/<source>/pretrained/<init>.pt, artifacts/<source>/label_noise/mnistTask3.json
writes  artifacts/<source>/mnistTask3-<init>.pt (seed 0) and, of all seeds,
        artifacts/<source>/runs/mnistTask3/<init>/{networks.pt,curves.csv,first_steps.csv} and
        pseudo_labels.npy, what each was trained on in each round but the first
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from handwriting.core import cli, files, params
from handwriting.core.errors import InputError, say
from handwriting.data import dataset
from handwriting.noise import forward_correction, self_training
from handwriting.noise.forward_correction import ForwardCorrected
from handwriting.noise.self_training import PseudoLabels, SelfTraining
from handwriting.training import engine, pretrained, runs
from handwriting.training.augmentation import Augmentation
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute
from handwriting.training.loop import Plan, fit
from handwriting.training.optimizer import Recipe
from handwriting.training.resume import CurvePoint, Progress
from handwriting.training.runs import Data, Job, Trained

STREAM = "mnistTask3"


@params.section
class Settings:
    """The section finetune_mnistTask3."""

    training: dict[str, Any]  # what differs from the section training
    augmentation: Augmentation
    self_training: SelfTraining


@params.section
class OfSource:
    """The section <source>.finetune_mnistTask3."""

    epochs: Annotated[list[PositiveFloat], Field(min_length=1)]  # of each round


def main(scratch: Path, source: str, init: str) -> None:
    compute = params.load("compute", Compute)
    training = params.load("training", Recipe)
    settings = params.load("finetune_mnistTask3", Settings)
    size = params.load(f"{source}.full_data.model_size", str)
    of_source = params.load(f"{source}.finetune_mnistTask3", OfSource)
    seeds = params.load(f"{source}.seeds.mnistTask3", PositiveInt)
    folder = Path(f"artifacts/{source}")
    data = Data(*dataset.load_splits(source, "mnistTask3", "train", "validation"))
    objective = objective_of(files.read_json(folder / "label_noise/mnistTask3.json"))
    recipe = params.changed(training, settings.training, "finetune_mnistTask3.training")
    networks = pretrained.load(pretrained.path(source, init), size, seeds)
    run = Run(data="mnistTask3", init=init, method="forward_correction")
    plan = Plan(recipe, settings.augmentation, 0, objective, STREAM, 0)
    jobs = pretrained.jobs(networks, size, run, plan, data.train)
    how = (of_source.epochs, settings.self_training)
    results = engine.map(train_rounds, jobs, compute, data, compute, scratch, *how)
    trained, rounds = zip(*results, strict=True)
    runs_of = folder / f"runs/mnistTask3/{init}"
    runs.store(trained, runs_of, folder / f"mnistTask3-{init}.pt", scratch)
    self_training.store(np.stack(rounds), runs_of / "pseudo_labels.npy", scratch)
    say(runs.counted(trained, "validation images, by an estimate"))


def objective_of(found: dict[str, Any]) -> ForwardCorrected:
    """Return the objective of a diagnosis. Raises InputError if the labels are random."""
    if found["kind"] == "random":
        raise InputError(f"nothing can be learned: {found['sentence']}")
    return ForwardCorrected(tuple(map(tuple, found["matrix"])))


def train_rounds(
    job: Job,
    data: Data,
    compute: Compute,
    scratch: Path,
    rounds: Sequence[float],
    how: SelfTraining,
) -> tuple[Trained, PseudoLabels]:
    """Return one network, trained in rounds of so many epochs, each with a schedule of its own, and
    the pseudo-labels of each round but the first, int8 [rounds - 1, N]."""
    network, objective = job.network, job.plan.objective
    assert isinstance(objective, ForwardCorrected)  # noqa: S101 - for the type checker
    shortest = replace(job.plan, epochs=min(rounds))  # which decides curve_images
    about = runs.describe(replace(job, plan=shortest), data, compute)
    about |= {"epochs": list(rounds), "self_training": asdict(how)}
    runs.place_on_device(network, compute)
    train = runs.labelled(data.train, network, compute)
    pseudo_labels = np.empty((len(rounds) - 1, len(data.train.labels)), np.int8)
    for i, epochs in enumerate(rounds):
        plan = replace(job.plan, epochs=epochs, stream=f"{STREAM} round {i}")
        if i > 0:
            found = self_training.distributions(
                network, train.images, train.targets, objective, how, plan.stream, plan.seed
            )
            targets = forward_correction.with_distributions(train.targets, found)
            train = replace(train, targets=targets)
            pseudo_labels[i - 1] = self_training.labels_of(found)
        progress = Progress(f"{job.run}, round {i}", runs.key(network, about), scratch)
        validation = runs.held_out(data, plan, network, compute)
        points, first_steps = fit(network, train, validation, plan, progress)
        if i == 0:
            first, curve = first_steps, points
        else:
            curve += shifted(points[1:], curve[-1])
    return runs.finished(job, data, compute, curve, first, about), pseudo_labels


def shifted(points: Sequence[CurvePoint], last: CurvePoint) -> list[CurvePoint]:
    """Return points of a round's curve that continue the one before, which ends in `last`."""
    return [
        CurvePoint(last.step + each.step, last.images_seen + each.images_seen, *each[2:])
        for each in points
    ]


if __name__ == "__main__":
    cli.run(main)
