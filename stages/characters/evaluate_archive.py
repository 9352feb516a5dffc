"""The shipped networks of question one on an archive of test_archives, as users call them.

reads   artifacts/<source>/characters.pt, characters-ensemble.pt, data/raw/<source>/<archive>/,
        data/tensors/<source>/characters/train.safetensors
writes  metrics/<source>/<archive>[-ensemble][-adapted].json, <archive>/details.csv,
        artifacts/<source>/evaluation/<archive>/predictions.csv
"""

from pathlib import Path

import torch
from joblib import cpu_count

from handwriting import images, sources
from handwriting.classifier import Classifier
from handwriting.core import cli, files
from handwriting.core.errors import InputError, listed
from handwriting.data import alphabet, dataset
from handwriting.evaluation import characters, metrics
from handwriting.evaluation.metrics import Predictions
from handwriting.preprocessing.framing import Framed


def main(scratch: Path, source: str, archive: str) -> None:
    torch.set_num_threads(1)
    folder, raw = Path(f"artifacts/{source}"), Path(f"data/raw/{source}/{archive}")
    if not (zips := sorted(raw.glob("*.zip"))):
        raise InputError(f"{raw}: no zip archive in it, or no such folder")
    models = {kind: Classifier(folder / f"characters{kind}.pt") for kind in ("", "-ensemble")}
    names, framed = framed_images(shipped := models[""], zips)
    pixels, geometry = images.stacked(framed)
    truth = torch.tensor([label_of(name) for name in names])
    writers = [found[1] if (found := alphabet.WRITER.search(name)) else None for name in names]
    networks = {
        f"{archive}{kind}{adapted}": Predictions(
            torch.from_numpy(model.logits(pixels, geometry, context)), truth
        )
        for kind, model in models.items()
        for adapted, context in (("", None), (characters.ADAPTED, writers))
    }
    same = metrics.confusable(shipped.classes, shipped.network.confusable)
    clusters = [writer for writer in writers if writer]
    for name, each in networks.items():
        by = clusters if len(clusters) == len(names) else ()
        metrics.write(source, name, metrics.measure([each], writers=by, same=same), scratch)
    train = dataset.load(Path(f"data/tensors/{source}/characters/train.safetensors")).images
    known = {image.tobytes() for image in train}
    details = characters.details(networks, shipped.classes, writers)
    details["training_images"] = sum(image.tobytes() in known for image in pixels)  # should be 0
    files.write_frame(Path(f"metrics/{source}/{archive}/details.csv"), details, scratch)
    table = metrics.table(shipped.classes, networks)
    files.write_frame(folder / f"evaluation/{archive}/predictions.csv", table, scratch)


def framed_images(classifier: Classifier, zips: list[Path]) -> tuple[list[str], list[Framed]]:
    """Return the names of all images and the images, framed. Raises InputError for a bad one."""
    found = images.framed(sources.images(zips), classifier.size, classifier.ink_size, cpu_count())
    good, bad = dict[str, Framed](), list[str]()
    for name, each in found:
        if isinstance(each, Framed):
            good[name] = each
        elif not images.is_other_kind(name, each):
            bad.append(str(each))
    if bad or not good:
        raise InputError(listed(bad) or f"{zips[0]}: no images in this archive")
    return [*good], [*good.values()]


def label_of(path: str) -> int:
    """Return the class that the folder of an image names. Raises InputError."""
    folder = Path(path).parent.name
    if folder not in alphabet.CHARACTER_FOLDERS:
        raise InputError(f"{path}: not in the folder of a class, Sample001 to Sample062")
    return alphabet.CHARACTER_FOLDERS[folder]


if __name__ == "__main__":
    cli.run(main)
