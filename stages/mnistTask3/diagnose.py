"""What is wrong with the labels of a digit set, told from them and the base networks alone.

The base networks come from other writers and pens, and are wrong too often to tell a label's fault
from their own. So each half of the images is learnt from, by forward correction with the matrix
estimated so far, to answer the other half; with these better answers the matrix is estimated anew.

reads   data/tensors/<source>/<dataset>/train.safetensors, artifacts/<source>/bases/digits.pt
writes  artifacts/<source>/audit/<dataset>.json: the diagnosis, its matrix, and the rows of train
        whose labels are believed to be right
params  compute, digits.<source>, strengths, audit.{bases,rounds,recipe,augmentation},
        audit.epochs.<source>
"""

from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt

from handwriting.core import cli as entry
from handwriting.core import files, params
from handwriting.data import dataset
from handwriting.data.dataset import Split
from handwriting.noise import diagnosis as corruption
from handwriting.noise.diagnosis import Floats
from handwriting.noise.forward_correction import Corrected
from handwriting.training import loop as training
from handwriting.training import pretrained
from handwriting.training import runs as arms
from handwriting.training.augmentation import Augmentation
from handwriting.training.compute import Compute, is_writer
from handwriting.training.loop import Recipe
from handwriting.training.model import Network

DATASETS = ("mnist", "mnistTask3")
_DOUBT = 0.02  # of every estimate on the way: what looks impossible at first must stay possible
_LISTED = 1000  # rows of labels believed right, at most


def main(scratch: Path, source: str) -> None:
    compute = params.load("compute", Compute)
    compute.launch()
    count = params.load("audit.bases", PositiveInt)
    bases = pretrained.load(source, "digits", "usual", count)
    for name in DATASETS:
        path = Path(f"data/tensors/{source}/{name}/train.safetensors")
        split = dataset.load(path)
        posteriors = adapted(split, bases, plan(source, path, compute, scratch))
        found = corruption.diagnose(posteriors, split.labels)
        if is_writer():
            content = report(found, posteriors, split.labels)
            files.write_json(Path(f"artifacts/{source}/audit/{name}.json"), content, scratch)
            print(f"{source} {name}: {found.family}. {found.sentence}")


def plan(source: str, path: Path, compute: Compute, scratch: Path) -> arms.Plan:
    """How half of the split that `path` holds is learnt from."""
    return arms.Plan(
        title=f"audit {path.parent.name}",
        data=partial(half, path),
        objective=Corrected(()),
        recipe=params.load("audit.recipe", Recipe),
        augmentation=params.load("audit.augmentation", Augmentation),
        epochs=params.load(f"audit.epochs.{source}", PositiveFloat),
        compute=compute,
        scratch=scratch,
    )


def adapted(split: Split, bases: list[Network], plan: arms.Plan) -> Floats:
    """Posteriors over the classes of all images, [N, C], of networks that saw none of the labels
    that they are to be held against: of those that have learnt from the other half in the last
    round, unless the bases' own make the labels likelier. Of a few wrong labels a network unlearns
    more than it learns.
    """
    rounds = params.load("audit.rounds", PositiveInt)
    own: Floats = np.mean([answers(base, split.images) for base in bases], axis=0)
    posteriors, at_first = own, corruption.fit(own, split.labels, corruption.general)
    found = at_first
    for i in range(rounds):
        matrix = (1 - _DOUBT) * found.matrix + _DOUBT / len(found.matrix)
        objective = Corrected(tuple(map(tuple, matrix.tolist())))
        informed = replace(plan, objective=objective)
        jobs = [
            arms.Job(f"round {i} half {part}", seed, deepcopy(bases[part % len(bases)]), informed)
            for part, seed in enumerate((2 * i, 2 * i + 1))
        ]
        posteriors = np.empty_like(own)
        for part, trained in enumerate(arms.train(jobs, plan.compute)):
            posteriors[1 - part :: 2] = answers(trained.network, split.images[1 - part :: 2])
        found = corruption.fit(posteriors, split.labels, corruption.general)
    return posteriors if found.log_likelihood > at_first.log_likelihood else own


def half(path: Path, job: arms.Job) -> arms.Data:
    """Every second row of a split, the odd ones for an odd seed. The rows are in no order but that
    of the pixels' hashes."""
    split = dataset.load(path)
    return arms.Data(split.rows(np.arange(job.seed % 2, len(split.labels), 2)), None)


def answers(network: Network, images: NDArray[np.uint8]) -> Floats:
    """The posteriors of a network, [N, C]."""
    logits = training.logits_of(network, torch.from_numpy(np.ascontiguousarray(images)))
    return np.asarray(logits.double().softmax(1).numpy())


def report(
    found: corruption.Diagnosis, posteriors: Floats, labels: NDArray[np.int64]
) -> dict[str, Any]:
    """The diagnosis as JSON has it."""
    sure = corruption.believed_right(posteriors, labels, found.matrix)
    likely = np.flatnonzero(sure > 0.5)
    return {
        "family": found.family,
        "sentence": found.sentence,
        "images": len(labels),
        "right": found.right,
        "right_interval": list(found.interval),
        "bic": found.bic,
        "matrix": found.matrix.tolist(),
        "estimated": found.estimated.tolist(),
        "believed_right": len(likely),
        "rows_believed_right": likely[np.argsort(-sure[likely], kind="stable")][:_LISTED].tolist(),
    }


if __name__ == "__main__":
    entry.run(main)
