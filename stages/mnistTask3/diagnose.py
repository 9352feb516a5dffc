"""Diagnose what is wrong with the labels of a digit set, from them and the digits checkpoints.

Those networks come from other writers and pens, and err too often to tell a wrong label from their
own mistake. So they are trained on folds of the images, to predict the others.

reads   data/tensors/<source>/<dataset>/train.safetensors, artifacts/<source>/pretrained/digits.pt
writes  artifacts/<source>/label_noise/<dataset>.json, the diagnosis and its matrix, and
        <dataset>.csv: all images, the likeliest to have a wrong label first, by their rows
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt

from handwriting.core import cli, files, params
from handwriting.core.errors import say
from handwriting.data import dataset
from handwriting.noise import examination, ranking, wording
from handwriting.noise.examination import Effort
from handwriting.noise.ranking import WRONG
from handwriting.training import pretrained
from handwriting.training.augmentation import Augmentation
from handwriting.training.compute import Compute
from handwriting.training.loop import Plan
from handwriting.training.optimizer import Recipe


@params.section
class DiagnoseLabels:
    """The section diagnose_labels."""

    folds: Annotated[int, Field(ge=2)]
    training: dict[str, Any]  # what differs from the section training
    augmentation: Augmentation


@params.section
class OfSource:
    """The section <source>.diagnose_labels."""

    epochs: tuple[PositiveFloat, PositiveFloat]  # on the labels, and on what they then seem to be


def main(scratch: Path, source: str, name: str) -> None:
    compute = params.load("compute", Compute)
    recipe = params.load("training", Recipe)
    settings = params.load("diagnose_labels", DiagnoseLabels)
    model_size = params.load(f"{source}.digits.model_size", str)
    of_source = params.load(f"{source}.diagnose_labels", OfSource)
    seeds = params.load(f"{source}.seeds.diagnosis", PositiveInt)
    recipe = params.changed(recipe, settings.training, "diagnose_labels.training")
    networks = pretrained.load(pretrained.path(source, "digits"), model_size, seeds)
    split = dataset.load(Path(f"data/tensors/{source}/{name}/train.safetensors"))
    plan = Plan(recipe, settings.augmentation, 0, recipe.cross_entropy, "", 0)
    effort = Effort(plan, of_source.epochs, settings.folds, compute, scratch)
    prior = examination.posteriors_of(networks, split.images, compute)
    found = examination.examine(split, networks, prior, effort)
    rows = ranking.ranked([str(i) for i in range(len(split.labels))], split, found)
    folder = Path(f"artifacts/{source}/label_noise")
    ranking.write(rows, folder / f"{name}.csv", scratch, "row")
    right = sum(row.p_wrong < WRONG for row in rows if row.p_wrong is not None)
    summary = wording.summary(found.diagnosis, split.classes) | {"believed_correct": right}
    files.write_json(folder / f"{name}.json", {"images": len(rows)} | summary, scratch)
    say(f"{summary['sentence']}.")


if __name__ == "__main__":
    cli.run(main)
