"""Diagnose what is wrong with doubtful labels, from networks of the source's own characters on.

reads   data/tensors/<source>/characters28/train.safetensors,
        data/tensors/<source>/doubtful/{train.safetensors,sources.csv}
writes  artifacts/<source>/label_noise/doubtful.json: the diagnosis and its matrix;
        artifacts/<source>/label_noise/images.csv: all images, the likeliest wrong labels first
"""

from dataclasses import replace
from pathlib import Path

from handwriting.core import cli, files
from handwriting.core.errors import say
from handwriting.data import dataset
from handwriting.noise import examination, ranking, wording
from handwriting.training import runs
from handwriting.training.checkpoint import Run
from handwriting.training.runs import Data
from stages.doubtful import settings


def main(scratch: Path, source: str) -> None:
    given = settings.load(source)
    [clean] = dataset.load_splits(source, "characters28", "train")
    [split] = dataset.load_splits(source, "doubtful", "train")
    run, epochs = Run(data="characters28", init="characters"), given.doubtful.pretrain
    jobs = given.jobs(run, clean, epochs, given.recipe.cross_entropy)
    trained = runs.train(jobs, Data(clean), given.compute, scratch)
    networks = [each.saved.network for each in trained]
    prior = examination.posteriors_of(networks, split.images, given.compute)
    effort = replace(examination.usual_effort(len(prior), scratch), compute=given.compute)
    found = examination.examine(split, networks, prior, effort)
    folder, tensors = Path(f"artifacts/{source}/label_noise"), Path(f"data/tensors/{source}")
    paths = [row["source"] for row in files.read_csv(tensors / "doubtful/sources.csv")]
    ranking.write(ranking.ranked(paths, split, found), folder / "images.csv", scratch)
    summary = wording.summary(found.diagnosis, split.classes)
    files.write_json(folder / "doubtful.json", {"images": len(paths)} | summary, scratch)
    say(f"{summary['sentence']}.")


if __name__ == "__main__":
    cli.run(main)
