"""Diagnose what is wrong with doubtful labels, by networks trained on the source's own characters.

reads   data/tensors/<source>/characters28/train.safetensors,
        data/tensors/<source>/doubtful/{train.safetensors,sources.csv}
writes  artifacts/<source>/label_noise/doubtful.json: the diagnosis and its matrix;
        artifacts/<source>/label_noise/images.csv: all images, the likeliest wrong labels first
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from handwriting.core import cli, files, params
from handwriting.data import dataset
from handwriting.noise import diagnosis, ranking
from handwriting.training import loop, pretrained, runs
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute, is_driver
from handwriting.training.loop import Plan
from handwriting.training.optimizer import Recipe
from handwriting.training.pretrained import Doubtful, ModelSize, Pretrain
from handwriting.training.runs import Data

STREAM = "characters28"


def main(scratch: Path, source: str) -> None:
    compute = params.load("compute", Compute)
    recipe = params.load("training", Recipe)
    sizes = params.load("model_sizes", dict[str, ModelSize])
    settings = params.load("pretrain", Pretrain)
    of_source = params.load(f"{source}.doubtful", Doubtful)
    compute.launch()
    [clean] = dataset.load_splits(source, "characters28", "train")
    [split] = dataset.load_splits(source, "doubtful", "train")
    recipe = params.changed(recipe, settings.training, "pretrain.training")
    size, how = of_source.model_size, (settings.augmentation, of_source.pretrain)
    jobs = [
        pretrained.fresh(
            Run(data=STREAM, init="characters", seed=seed),
            clean,
            size,
            sizes,
            settings,
            Plan(recipe, *how, recipe.cross_entropy, STREAM, seed),
        )
        for seed in range(of_source.seeds)
    ]
    trained = runs.train(jobs, Data(clean), compute, scratch)
    if not is_driver():
        return
    images = torch.from_numpy(split.images)
    logits = [loop.logits_of(each.saved.network, images).double() for each in trained]
    posteriors = np.mean([each.softmax(1).numpy() for each in logits], axis=0)
    found = diagnosis.diagnose(posteriors, split.labels)
    folder, tensors = Path(f"artifacts/{source}/label_noise"), Path(f"data/tensors/{source}")
    paths = [row["source"] for row in files.read_csv(tensors / "doubtful/sources.csv")]
    table = ranking.ranked(posteriors, split.labels, found.matrix, split.classes)
    table.insert(0, "path", [paths[row] for row in table["row"]])
    files.write_frame(folder / "images.csv", table, scratch)
    low, high = found.interval
    about = {"images": len(split.labels), "classes": split.classes, "low": low, "high": high}
    named = {name: np.asarray(each).tolist() for name, each in asdict(found).items()}
    files.write_json(folder / "doubtful.json", about | named, scratch)
    print(f"{source} doubtful: {found.kind}. {found.sentence}")


if __name__ == "__main__":
    cli.run(main)
