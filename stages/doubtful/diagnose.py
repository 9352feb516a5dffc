"""Diagnose what is wrong with doubtful labels, from networks of the source's own characters on.

reads   data/tensors/<source>/characters28/train.safetensors,
        data/tensors/<source>/doubtful/{train.safetensors,sources.csv}
writes  artifacts/<source>/label_noise/doubtful.json: the diagnosis and its matrix;
        artifacts/<source>/label_noise/images.csv: all images, the likeliest wrong labels first
"""

from dataclasses import replace
from pathlib import Path

from handwriting.core import cli, files, params
from handwriting.data import dataset
from handwriting.noise import examination, ranking, wording
from handwriting.training import pretrained, runs
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
    networks = [each.saved.network for each in trained]
    prior = examination.posteriors_of(networks, split.images)
    effort = replace(examination.usual_effort(len(prior), scratch), compute=compute)
    found = examination.examine(split, networks, prior, effort)
    if not is_driver():
        return
    folder, tensors = Path(f"artifacts/{source}/label_noise"), Path(f"data/tensors/{source}")
    paths = [row["source"] for row in files.read_csv(tensors / "doubtful/sources.csv")]
    ranking.write(ranking.ranked(paths, split, found), folder / "images.csv", scratch)
    summary = wording.summary(found.diagnosis, split.classes)
    files.write_json(folder / "doubtful.json", {"images": len(paths)} | summary, scratch)
    print(f"{source} doubtful: {summary['sentence']}")


if __name__ == "__main__":
    cli.run(main)
