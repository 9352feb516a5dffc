"""Question one's accuracy: each image classified by networks that were not trained on it.

With seen and with unseen writers, and by the mean of a network of each; from the image alone, and
adapted to the writer's other images.

reads   artifacts/<source>/crossvalidation/, data/tensors/<source>/characters/
writes  metrics/<source>/<network>.json, metrics/<source>/characters/ (tables),
        artifacts/<source>/evaluation/characters/ (predictions, sheets of images, a map)
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from handwriting.characters import protocols
from handwriting.characters.writer_model import context_rows
from handwriting.classifier import Classifier, mean_prediction
from handwriting.core import cli, files, params
from handwriting.data import dataset, folds
from handwriting.data.dataset import Split
from handwriting.evaluation import characters, embedding, gallery, metrics
from handwriting.evaluation.metrics import Predictions
from handwriting.training import checkpoint
from handwriting.training.augmentation import Augmentation
from handwriting.training.checkpoint import Saved
from handwriting.training.runs import Rows

SEEN, UNSEEN, ENSEMBLE = "characters", "characters-unseen-writers", "characters-ensemble"
AUGMENTED = "0Oo1IlcCsSwW"  # classes whose first image is shown with each augmentation


def main(scratch: Path, source: str) -> None:
    groups = params.load("confusable_classes", list[str])
    torch.set_num_threads(1)
    tensors, folder = Path(f"data/tensors/{source}/characters"), Path(f"artifacts/{source}")
    split = dataset.load(tensors / "train.safetensors")
    writers = dataset.load_writers(tensors / "writers.csv")
    fold_of = folds.load(folder / "crossvalidation/folds.csv")
    saved = {name: checkpoint.load(folder / f"crossvalidation/{name}.pt") for name in fold_of}
    logits = {name: single_logits(saved[name], split, fold_of[name]) for name in fold_of}

    def predict(context: Tensor) -> dict[str, Predictions]:
        """Return predictions adapted to other images by the writer, their rows int64 [N, M]."""
        each = [
            protocols.adapted_logits(saved[name], split, fold_of[name], logits[name], context)
            for name in folds.PROTOCOLS
        ]
        every = zip((SEEN, UNSEEN, ENSEMBLE), [*each, mean_prediction(each)], strict=True)
        return {name: Predictions(found, torch.from_numpy(split.labels)) for name, found in every}

    context, types = context_rows(writers), characters.types_of(split)
    same_type = predict(context_rows([f"{w} {t}" for w, t in zip(writers, types, strict=True)]))
    by_size = {n: predict(characters.context_subset(context, n)) for n in characters.CONTEXT_SIZES}
    networks, same = characters.published(by_size), metrics.confusable(split.classes, groups)
    for name, each in networks.items():
        fold = fold_of[folds.UNSEEN if name.startswith(UNSEEN) else folds.SEEN]
        metrics.write(source, name, metrics.measure([each], fold, writers, same), scratch)
    tables = characters.tables(split, writers, groups, by_size, same_type)
    curves = metrics.mean_curves(pd.read_csv(folder / "crossvalidation/curves.csv"), "method")
    tables["curves"] = curves.rename(columns={"method": "protocol"})
    for name, frame in tables.items():
        files.write_frame(Path(f"metrics/{source}/characters/{name}.csv"), frame, scratch)
    out, first = folder / "evaluation/characters", saved[folds.SEEN][0]
    files.write_frame(out / "predictions.csv", metrics.table(split.classes, networks), scratch)
    held_out = protocols.rows_of_folds(fold_of[folds.SEEN])[0]
    show(out, split, networks[SEEN], first, held_out, scratch)


def single_logits(networks: Sequence[Saved], split: Split, fold_of: Rows) -> Tensor:
    """Return logits, float32 [N, classes], of each image alone, as users get them."""
    logits = torch.empty(len(split.labels), len(split.classes))
    for rows, saved in zip(protocols.rows_of_folds(fold_of), networks, strict=True):
        logits[rows] = Classifier([saved]).logits(split.images[rows], split.geometry[rows])
    return logits


def show(
    folder: Path, split: Split, found: Predictions, network: Saved, held_out: Rows, scratch: Path
) -> None:
    """Write sheets of mistakes and of augmentations, and a network's map of held-out images."""
    tiles = gallery.show_worst(folder / "worst", split, found, scratch)
    tiles += gallery.show_confident(folder / "confident", split, found, scratch)
    images = gallery.first_images(split, AUGMENTED)
    magnitudes = Augmentation(**network.about["augmentation"])
    tiles += gallery.show_magnitudes(folder / "magnitudes", images, magnitudes, scratch)
    files.write_csv(folder / "tiles.csv", gallery.TILES, tiles, scratch)
    part = split.rows(held_out)
    predict = partial(Classifier([network]).logits, part.images, part.geometry)
    features, logits = embedding.inputs_of(network.network.head, predict)
    gallery.show_map(folder / "map", part, features, logits.argmax(1), scratch)


if __name__ == "__main__":
    cli.run(main)
