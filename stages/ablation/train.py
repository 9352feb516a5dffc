"""Train the recipe of question one with one choice changed, for each choice, in short.

Some of the five folds of split seed 0 are held out, on which the recipe was chosen; the published
split is another.

reads   data/tensors/<source>/characters/, data/images/<source>/characters.tar
writes  artifacts/<source>/ablation/choices.csv: predictions for the held-out images
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import Field, PositiveFloat

from handwriting.characters import protocols
from handwriting.characters.protocols import Characters
from handwriting.core import cli, files, params
from handwriting.data import dataset, folds
from handwriting.training import engine, runs
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute
from handwriting.training.optimizer import Recipe
from handwriting.training.runs import Data, Job, Trained
from stages.ablation.choices import Choice, averaged, averaging, framed_all, hide
from stages.ablation.predictions import Images

_SPLIT_SEED, _FOLDS = 0, 5
_STREAM = "ablation"


@params.section
class Schedule:
    """What one choice may cost."""

    epochs: PositiveFloat  # far fewer than the recipe's
    folds: Annotated[int, Field(ge=1, le=_FOLDS)]  # of the five, so many are held out in turn


def main(scratch: Path, source: str) -> None:
    compute = params.load("compute", Compute)
    training = params.load("training", Recipe)
    settings = params.load("characters", Characters)
    schedule = params.load(f"{source}.ablation.schedule", Schedule)
    choices = params.load("ablation.choices", dict[str, Choice])
    recipe = load(source)
    images = {name: changed(recipe, each, source) for name, each in choices.items()}

    def job(name: str, fold: int) -> Job:
        choice, run = choices[name], Run(data="characters", method=name, seed=fold)
        own = choice.changed(settings, name)
        epochs, rows = schedule.epochs * choice.epoch_scale, recipe.others(fold)
        made = protocols.job(run, _STREAM, images[name].split, training, own, epochs, rows)
        if choice.average:
            averaging(made.network, choice.average)
        return replace(made, about={"choice": asdict(choice)})

    jobs = [job(name, fold) for name in choices for fold in range(schedule.folds)]
    trained = engine.map(train, jobs, compute, images, compute, scratch)
    tables = [held_out(name, each, images[name], trained) for name, each in choices.items()]
    path = Path(f"artifacts/{source}/ablation/choices.csv")
    files.write_frame(path, pd.concat(tables), scratch)


def load(source: str) -> Images:
    """Return the images in the recipe's framing."""
    split, writers = dataset.load_characters(source)
    fold_of = folds.draw(split.labels, writers, _FOLDS, _SPLIT_SEED)[folds.SEEN]
    return Images(split, np.array(writers), fold_of)


def changed(images: Images, choice: Choice, source: str) -> Images:
    """Return the images and geometry features that a choice is trained on."""
    split = images.split
    if how := choice.framing:
        rows = files.read_csv(Path(f"data/tensors/{source}/characters/sources.csv"))
        archive = Path(f"data/images/{source}/characters.tar")
        pixels = framed_all(archive, [row["source"] for row in rows], how)
        split = replace(split, images=pixels, ink_size=how.ink_size)
    return images._replace(split=replace(split, geometry=hide(split.geometry, choice.hidden)))


def train(job: Job, images: Mapping[str, Images], compute: Compute, scratch: Path) -> Trained:
    """Return the network of a job, trained on the images of its choice."""
    return runs.train_one(job, Data(images[job.run.method].split), compute, scratch)


def held_out(name: str, choice: Choice, images: Images, trained: Sequence[Trained]) -> pd.DataFrame:
    """Return the predictions of a choice's networks for the images that they held out."""
    networks = [images.fitted(each.saved) for each in trained if each.saved.run.method == name]
    if decay := choice.average:
        networks = [replace(each, network=averaged(each.network, decay)) for each in networks]
    rows = np.flatnonzero(images.fold_of < len(networks))
    part = Images(images.split.rows(rows), images.writers[rows], images.fold_of[rows])
    groups = [f"{writer} {fold}" for writer, fold in zip(part.writers, part.fold_of, strict=True)]
    logits = part.logits(networks, torch.from_numpy(part.split.images), groups)
    return part.table(rows, logits, choice=name)


if __name__ == "__main__":
    cli.run(main)
