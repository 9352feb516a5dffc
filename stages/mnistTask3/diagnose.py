"""Diagnose what is wrong with the labels of a digit set, from them and the digits checkpoints.

Those networks come from other writers and pens, and err too often to tell a wrong label from their
own mistake. So networks are trained on each half of the images, by forward correction with the
matrix estimated so far, to predict the other half; from these predictions the matrix is estimated
again.

reads   data/tensors/<source>/<dataset>/train.safetensors, artifacts/<source>/pretrained/digits.pt
writes  artifacts/<source>/label_noise/<dataset>.json: the diagnosis, its matrix, and the rows of
        train whose labels are believed correct
"""

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt

from handwriting.core import cli, files, params
from handwriting.data import dataset
from handwriting.data.dataset import Split
from handwriting.noise import diagnosis
from handwriting.noise.diagnosis import Floats
from handwriting.noise.forward_correction import ForwardCorrected
from handwriting.training import loop, pretrained, runs
from handwriting.training.augmentation import Augmentation
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute, is_driver
from handwriting.training.loop import Plan
from handwriting.training.model import Network
from handwriting.training.optimizer import Recipe
from handwriting.training.runs import Data, Job

_DOUBT = 0.02  # of each estimate on the way: what looks impossible at first must stay possible
_LISTED = 1000  # rows of labels believed correct, at most


@params.section
class DiagnoseLabels:
    """The section diagnose_labels."""

    rounds: PositiveInt  # of training on one half to predict the other
    training: dict[str, Any]  # what differs from the section training
    augmentation: Augmentation


@params.section
class OfSource:
    """The section <source>.diagnose_labels."""

    epochs: PositiveFloat  # passes over a half


@dataclass(frozen=True, slots=True)
class Training:
    """How networks are trained on a half, and where."""

    dataset: str
    plan: Plan
    rounds: int
    compute: Compute
    scratch: Path


def main(scratch: Path, source: str, name: str) -> None:
    compute = params.load("compute", Compute)
    recipe = params.load("training", Recipe)
    settings = params.load("diagnose_labels", DiagnoseLabels)
    model_size = params.load(f"{source}.digits.model_size", str)
    of_source = params.load(f"{source}.diagnose_labels", OfSource)
    seeds = params.load(f"{source}.seeds.diagnosis", PositiveInt)
    compute.launch()
    recipe = params.changed(recipe, settings.training, "diagnose_labels.training")
    networks = pretrained.load(pretrained.path(source, "digits"), model_size, seeds)
    split = dataset.load(Path(f"data/tensors/{source}/{name}/train.safetensors"))
    plan = Plan(recipe, settings.augmentation, of_source.epochs, ForwardCorrected(()), "", 0)
    training = Training(name, plan, settings.rounds, compute, scratch)
    posteriors = adapted(split, networks, training)
    found = diagnosis.diagnose(posteriors, split.labels)
    if is_driver():
        path = Path(f"artifacts/{source}/label_noise/{name}.json")
        files.write_json(path, report(found, posteriors, split.labels), scratch)
        print(f"{source} {name}: {found.kind}. {found.sentence}")


def adapted(split: Split, networks: list[Network], training: Training) -> Floats:
    """Return the posteriors of all images, [N, C], by networks that saw none of their labels.

    They are of networks trained on the other half in the last round, unless the pretrained
    networks' own make the labels likelier: from a few wrong labels a network unlearns more than it
    learns.
    """
    own: Floats = np.mean([predictions(each, split.images) for each in networks], axis=0)
    posteriors, first = own, diagnosis.fit(own, split.labels, diagnosis.general)
    found = first
    for i in range(training.rounds):
        matrix = (1 - _DOUBT) * found.matrix + _DOUBT / len(found.matrix)
        objective = ForwardCorrected(tuple(map(tuple, matrix.tolist())))
        plan = replace(training.plan, objective=objective, stream=f"diagnosis round {i}")
        jobs = [
            Job(
                Run(data=training.dataset, init="digits", method=plan.stream, seed=half),
                deepcopy(networks[half % len(networks)]),
                replace(plan, seed=half),
                np.arange(half, len(split.labels), 2),
            )
            for half in (0, 1)
        ]
        posteriors = np.empty_like(own)
        trained = runs.train(jobs, Data(split), training.compute, training.scratch)
        for half, each in enumerate(trained):
            other = slice(1 - half, None, 2)
            posteriors[other] = predictions(each.saved.network, split.images[other])
        found = diagnosis.fit(posteriors, split.labels, diagnosis.general)
    return posteriors if found.log_likelihood > first.log_likelihood else own


def predictions(network: Network, images: NDArray[np.uint8]) -> Floats:
    """Return the posteriors of a network, [N, C]."""
    logits = loop.logits_of(network, torch.from_numpy(np.ascontiguousarray(images)))
    return np.asarray(logits.double().softmax(1).numpy())


def report(
    found: diagnosis.Diagnosis, posteriors: Floats, labels: NDArray[np.int64]
) -> dict[str, Any]:
    """Return the diagnosis as JSON has it."""
    p_correct = diagnosis.believed_correct(posteriors, labels, found.matrix)
    likely = np.flatnonzero(p_correct > 0.5)
    order = np.argsort(-p_correct[likely], kind="stable")[:_LISTED]
    low, high = found.interval
    return {
        "kind": found.kind,
        "sentence": found.sentence,
        "images": len(labels),
        "clean_fraction": found.clean_fraction,
        "low": low,
        "high": high,
        "bic": found.bic,
        "matrix": found.matrix.tolist(),
        "estimated": found.estimated.tolist(),
        "believed_correct": len(likely),
        "rows_believed_correct": likely[order].tolist(),
    }


if __name__ == "__main__":
    cli.run(main)
