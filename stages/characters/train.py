"""Train the network of question one that is shipped: the recipe of crossvalidate, on all images.

reads   data/tensors/<source>/characters/{train,validation}.safetensors,
        data/tensors/<source>/characters-hands.csv
writes  artifacts/<source>/characters.pt
params  compute, train.{network,smoothing,recipe,augmentation}, train.epochs.<source>
"""

from functools import partial
from pathlib import Path

from handwriting.characters import protocols as reader
from handwriting.core import cli as entry
from handwriting.core import params
from handwriting.data import dataset
from handwriting.training import model
from handwriting.training import runs as arms
from handwriting.training.compute import Compute, is_writer


def main(scratch: Path, source: str) -> None:
    compute = params.load("compute", Compute)
    compute.launch()
    tensors = Path(f"data/tensors/{source}")
    split = dataset.load_all(tensors / "characters")
    plan = reader.plan(source, partial(everything, tensors), compute, scratch)
    [trained] = arms.train(arms.of_seeds([reader.fresh(split, 0)], plan), compute)
    if is_writer():
        path = Path(f"artifacts/{source}/characters.pt")
        model.save([(trained.network, trained.about)], path, scratch)


def everything(tensors: Path, _: arms.Job) -> arms.Data:
    """All images; nothing is held out."""
    hands = dataset.load_hands(tensors / "characters-hands.csv")
    return arms.Data(dataset.load_all(tensors / "characters"), None, hands)


if __name__ == "__main__":
    entry.run(main)
