"""Train the network of question one that is shipped: the recipe of crossvalidate, on all images.

reads   data/tensors/<source>/characters/{train.safetensors,writers.csv},
        artifacts/<source>/crossvalidation/confusable.json
writes  artifacts/<source>/characters.pt
"""

from pathlib import Path

from handwriting.characters import confusable, protocols
from handwriting.characters.protocols import Characters, OfSource
from handwriting.core import cli, files, params
from handwriting.core.errors import say
from handwriting.data import dataset
from handwriting.training import checkpoint, runs
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute
from handwriting.training.optimizer import Recipe
from handwriting.training.runs import Data


def main(scratch: Path, source: str) -> None:
    compute = params.load("compute", Compute)
    training = params.load("training", Recipe)
    settings = params.load("characters", Characters)
    of_source = params.load(f"{source}.characters", OfSource)
    folder, (split, writers) = Path(f"artifacts/{source}"), dataset.load_characters(source)
    pairs = files.read_json(folder / "crossvalidation/confusable.json")
    run = Run(data="characters", method="all")
    job = protocols.job(run, "characters", split, training, settings, of_source.epochs)
    [trained] = runs.train([job], Data(split), compute, scratch)
    saved = protocols.with_writer_model(confusable.known(trained.saved, pairs), split, writers)
    checkpoint.save([saved], folder / "characters.pt", scratch)
    say(f"1 network, {len(split.labels):,} images, {of_source.epochs:g} epochs")


if __name__ == "__main__":
    cli.run(main)
