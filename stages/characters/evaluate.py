"""Question one's accuracy: each image classified by networks that were not trained on it.

With seen and with unseen writers, and by the mean of a network of each; from the image alone, and
adapted to the writer's other images.

reads   artifacts/<source>/crossvalidation/, data/tensors/<source>/characters/
writes  metrics/<source>/<network>.json, metrics/<source>/characters/ (tables),
        artifacts/<source>/evaluation/characters/ (predictions, a map),
        artifacts/<source>/figures/characters/ (sheets of images)
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from handwriting.characters import protocols
from handwriting.characters.writer_model import context_rows
from handwriting.classifier import Classifier, out_of_fold_logits
from handwriting.core import cli, files
from handwriting.data import alphabet, dataset, folds
from handwriting.data.dataset import Split
from handwriting.evaluation import characters, gallery, metrics
from handwriting.evaluation.metrics import Predictions
from handwriting.torch_networks import mean_prediction
from handwriting.training import checkpoint
from handwriting.training.augmentation import Augmentation
from handwriting.training.checkpoint import Saved

SEEN, UNSEEN, ENSEMBLE = "characters", "characters-unseen-writers", "characters-ensemble"
AUGMENTED = "0Oo1IlcCsSwW"  # classes whose first image is shown with each augmentation ...
_SHOWN = 12  # ... or, where classes are no characters, the first so many
_MAPPED = 1000  # held-out images on the map


def main(scratch: Path, source: str) -> None:
    torch.set_num_threads(1)
    folder, (split, writers) = Path(f"artifacts/{source}"), dataset.load_characters(source)
    truth = torch.from_numpy(split.labels)
    confusable = files.read_json(folder / "crossvalidation/confusable.json")
    fold_of = folds.load(folder / "crossvalidation/folds.csv")
    saved = {name: checkpoint.load(folder / f"crossvalidation/{name}.pt") for name in fold_of}
    trained = [(saved[name], split, fold_of[name]) for name in folds.PROTOCOLS]
    single = [torch.from_numpy(out_of_fold_logits(*each, split.images)) for each in trained]

    def predict(context: Tensor) -> dict[str, Predictions]:
        """Return predictions adapted to other images by the writer, their rows int64 [N, M]."""
        pairs = zip(trained, single, strict=True)
        each = [protocols.adapted_logits(*given, alone, context) for given, alone in pairs]
        every = zip((SEEN, UNSEEN, ENSEMBLE), [*each, mean_prediction(each)], strict=True)
        return {name: Predictions(logits, truth) for name, logits in every}

    known = writers if len({*writers}) < len(writers) else ()  # else each image has its own
    classes, context = split.classes, context_rows(writers)
    types = [alphabet.character_type(classes[label]) for label in split.labels]
    same_type = predict(context_rows([f"{w} {t}" for w, t in zip(writers, types, strict=True)]))
    by_size = {n: predict(characters.context_subset(context, n)) for n in characters.CONTEXT_SIZES}
    networks, same = characters.published(by_size), metrics.confusable(classes, confusable)
    for name, each in networks.items():
        fold = fold_of[folds.UNSEEN if name.startswith(UNSEEN) else folds.SEEN]
        metrics.write(source, name, metrics.measure([each], fold, known, same), scratch)
    tables = characters.tables(by_size, same_type, classes, confusable, types, known)
    curves = metrics.mean_curves(pd.read_csv(folder / "crossvalidation/curves.csv"), "method")
    tables["confusion"] = metrics.confusion(networks[SEEN], classes)
    tables["curves"] = curves.rename(columns={"method": "protocol"})
    for name, frame in tables.items():
        files.write_frame(Path(f"metrics/{source}/characters/{name}.csv"), frame, scratch)
    out, held_out = (
        folder / "evaluation/characters",
        np.flatnonzero(fold_of[folds.SEEN] == 0)[:_MAPPED],
    )
    files.write_frame(out / "predictions.csv", metrics.table(classes, networks), scratch)
    show(out, split, networks[SEEN], saved[folds.SEEN][0], split.rows(held_out), scratch)


def show(
    folder: Path, split: Split, found: Predictions, network: Saved, held_out: Split, scratch: Path
) -> None:
    """Write sheets of mistakes and of augmentations, and a network's map of held-out images."""
    magnitudes = Augmentation(**network.about["augmentation"])
    sheets = folder.parents[1] / "figures/characters"
    tiles = [gallery.show_mistakes(sheets, n, split, found, scratch) for n in gallery.MISTAKES]
    path = sheets / "magnitudes.png"
    chosen = [*AUGMENTED] if {*AUGMENTED} <= {*split.classes} else split.classes[:_SHOWN]
    tiles += [gallery.show_magnitudes(path, split, chosen, magnitudes, scratch)]
    files.write_frame(folder / "tiles.csv", pd.concat(tiles), scratch)

    def predict() -> Tensor:
        logits = Classifier([network]).logits(held_out.images, held_out.geometry)
        return torch.from_numpy(logits)

    gallery.show_map(folder, held_out, network.network.head, predict, scratch)


if __name__ == "__main__":
    cli.run(main)
