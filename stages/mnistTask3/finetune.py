"""Learn mnistTask3 from labels that are wrong, in the way that `audit` found them to be.

First from the given labels alone, by forward correction; then, in rounds, also from the network's
own answers where it is sure of them. No true label is read, nor are its learning curves by one.

reads   data/tensors/<source>/mnistTask3/{train,validation}.safetensors,
        artifacts/<source>/bases/<start>.pt, artifacts/<source>/audit/mnistTask3.json
writes  artifacts/<source>/mnistTask3-<start>.pt (seed 0),
        artifacts/<source>/seeds/mnistTask3-<start>.pt (all seeds), their curves and, in
        mnistTask3-<start>-early.csv, the first steps of each;
        artifacts/<source>/seeds/mnistTask3-<start>-pseudo-labels.npy: what each seed answered, and
        learnt from, in each round but the first
params  compute, digits.<source>.full, correct.{seeds,recipe,self_training,augmentation},
        correct.rounds.<source>
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from handwriting.core import cli as entry
from handwriting.core import files, params
from handwriting.core.errors import InputError
from handwriting.data import dataset
from handwriting.noise import forward_correction as correction
from handwriting.noise import self_training as pseudo_labels
from handwriting.noise.forward_correction import Corrected, SelfTraining
from handwriting.noise.self_training import Labels
from handwriting.training import engine as parallel
from handwriting.training import model, pretrained
from handwriting.training import runs as arms
from handwriting.training.augmentation import Augmentation
from handwriting.training.checkpoint import Checkpoint
from handwriting.training.compute import Compute, is_writer
from handwriting.training.live import Point
from handwriting.training.loop import Recipe, fit

Rounds = Annotated[list[PositiveFloat], Field(min_length=1)]


def main(scratch: Path, source: str, start: str) -> None:
    compute = params.load("compute", Compute)
    compute.launch()
    splits = Path(f"data/tensors/{source}/mnistTask3")
    classes = dataset.load(splits / "train.safetensors").classes
    audit = files.read_json(Path(f"artifacts/{source}/audit/mnistTask3.json"))
    plan = arms.Plan(
        title=f"mnistTask3-{start}",
        data=partial(arms.held_out, splits),
        objective=informative(audit),
        recipe=params.load("correct.recipe", Recipe),
        augmentation=params.load("correct.augmentation", Augmentation),
        epochs=0,
        compute=compute,
        scratch=scratch,
    )
    rounds = params.load(f"correct.rounds.{source}", Rounds)
    how = params.load("correct.self_training", SelfTraining)
    bases = pretrained.load(source, start, "full", params.load("correct.seeds", PositiveInt))
    jobs = arms.of_seeds(
        (model.transplant(base, classes, seed) for seed, base in enumerate(bases)), plan
    )
    learnt = parallel.run(partial(learn, rounds, how), jobs, compute)
    arm = [trained for trained, _ in learnt]
    arms.store_shipped(arm, source, plan.title, scratch)
    arms.store_early(arm, Path(f"artifacts/{source}/seeds/{plan.title}"), scratch)
    if is_writer():
        path = Path(f"artifacts/{source}/seeds/{plan.title}-pseudo-labels.npy")
        pseudo_labels.store(np.stack([labels for _, labels in learnt]), path, scratch)


def informative(audit: dict[str, Any]) -> Corrected:
    """The loss that an audit asks for. Raises InputError if it says that labels tell nothing."""
    if audit["family"] == "random":
        raise InputError(f"nothing can be learnt: {audit['sentence']}")
    return Corrected(tuple(map(tuple, audit["matrix"])))


def learn(rounds: Sequence[float], how: SelfTraining, job: arms.Job) -> tuple[arms.Trained, Labels]:
    """One network, through all rounds of so many epochs, each with a schedule of its own; and the
    pseudo-labels of each round but the first, int8 [rounds - 1, N]."""
    plan, network = job.plan, job.network
    objective, data = plan.objective, plan.data(job)
    assert isinstance(objective, Corrected)  # noqa: S101 - for the type checker
    about = arms.about_of(job, data) | {
        "rounds": list(rounds),
        "judged": arms.judged(data, min(rounds), plan.recipe),  # in the shortest
        "self_training": asdict(how),
    }
    arms.place_on_device(network, plan.compute)
    train = arms.labelled(data.train, network, plan.compute)
    curve: list[Point] = []
    said = np.empty((len(rounds) - 1, len(data.train.labels)), np.int8)
    for i, epochs in enumerate(rounds):
        seed = job.seed + 1000 * i  # other batches and views in each round
        if i > 0:
            answers = correction.self_labels(
                network, train.images, train.targets, objective, how, seed
            )
            train = replace(train, targets=correction.with_answers(train.targets, answers))
            said[i - 1] = pseudo_labels.of_answers(answers)
        title = f"{plan.title} {job.name} round {i}"
        checkpoint = Checkpoint(title, arms.key(network, about), plan.scratch, entry.LIVE)
        measured = arms.watched(data, epochs, plan.recipe)
        assert measured  # noqa: S101 - for the type checker
        validation = arms.labelled(measured, network, plan.compute)
        more, early = fit(
            *(network, train, validation, plan.recipe, plan.augmentation, epochs, objective),
            *(seed, checkpoint),
        )
        if i == 0:
            first = early
        curve += after(curve, more)
    return arms.finished(job, curve, first, about), said


def after(curve: Sequence[Point], more: Sequence[Point]) -> list[Point]:
    """The points of `more` that go on where `curve` ends."""
    if not curve:
        return list(more)
    last = curve[-1]
    return [
        Point(last.step + point.step, last.images_seen + point.images_seen, *point[2:])
        for point in more[1:]
    ]


if __name__ == "__main__":
    entry.run(main)
