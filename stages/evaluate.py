"""Measure networks on images that they have not learnt from.

`characters`: every image of trainPart1 by the network of question one whose training left it out,
alone and together with the others by its writer. `digits`: MNIST's test split, which no other stage
reads, by all networks of questions two and three. Any other name is an archive of test_archives in
params.yaml, laid out as trainPart1 is: it is read by the shipped network as a user would have it.

reads   artifacts/<source>/folds/, data/tensors/<source>/characters/, characters-hands.csv; or
        artifacts/<source>/seeds/<network>.pt, artifacts/<source>/audit/,
        data/tensors/<source>/mnist/test.safetensors; or
        artifacts/<source>/characters.pt, data/raw/<source>/<archive>/
writes  metrics/<source>/<network>.json, artifacts/<source>/predictions/<network>.csv; for digits
        metrics/<source>/audit.json, for characters predictions/<network>-{classes,pairs}.csv
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.common import alphabet, dataset, entry, files, folds, measures
from stages.common.errors import InputError
from stages.common.measures import Answers
from stages.predict import Classifier, prepared

DIGITS = [
    "mnist-random",
    "mnist-digits",
    "mnist-characters",
    "mnistTask3-naive",
    "mnistTask3-random",
    "mnistTask3-digits",
    "mnistTask3-characters",
]


def main(scratch: Path, source: str, name: str) -> None:
    torch.set_num_threads(1)
    if name == "characters":
        evaluate_characters(source, scratch)
    elif name == "digits":
        evaluate_digits(source, scratch)
        evaluate_audit(source, scratch)
    else:
        evaluate_archive(source, name, scratch)


def evaluate_digits(source: str, scratch: Path) -> None:
    """All networks of the digits on MNIST's test split."""
    split = dataset.load(Path(f"data/tensors/{source}/mnist/test.safetensors"))
    truth = torch.from_numpy(split.labels)
    for network in DIGITS:
        classifiers = Classifier.all_of(f"artifacts/{source}/seeds/{network}.pt")
        runs = [Answers(each.logits(split.images), truth) for each in classifiers]
        metrics = measures.measure(runs) | {"seeds": len(runs), "images": len(truth)}
        rows = [(row, 0, *each) for row, each in enumerate(answers(runs[0], split.classes))]
        report(source, network, "MNIST test", metrics, rows, scratch)


def evaluate_audit(source: str, scratch: Path) -> None:
    """What the audit found, in the few numbers that a diff of metrics should show."""
    found = {}
    for path in sorted(Path(f"artifacts/{source}/audit").glob("*.json")):
        audit = files.read_json(path)
        low, high = audit["right_interval"]
        counts = {name: audit[name] for name in ("family", "images", "right", "believed_right")}
        found[path.stem] = counts | {"right_low": low, "right_high": high}
    files.write_json(Path(f"metrics/{source}/audit.json"), found, scratch)


def evaluate_characters(source: str, scratch: Path) -> None:
    """The network of question one on every image, with its writer known or not, and seen or not."""
    tensors, folder = Path(f"data/tensors/{source}"), Path(f"artifacts/{source}/folds")
    split = dataset.load_all(tensors / "characters")
    hands = np.array(dataset.load_hands(tensors / "characters-hands.csv"))
    for way, fold_of in read_folds(folder / "folds.csv").items():
        alone, together, order = [], [], []
        for fold, classifier in enumerate(Classifier.all_of(folder / f"{way}.pt")):
            rows = np.flatnonzero(fold_of == fold)
            part = split.rows(rows)
            truth = torch.from_numpy(part.labels)
            given = part.images, part.place
            alone.append(Answers(classifier.logits(*given), truth))
            together.append(Answers(classifier.logits(*given, hands[rows].tolist()), truth))
            order += [(int(row), fold) for row in rows]
        for suffix, runs in (("", alone), ("-same-hand", together)):
            pooled = Answers(*(torch.cat(column) for column in zip(*runs, strict=True)))
            metrics = measures.measure(runs) | {"folds": len(runs), "images": len(pooled.truth)}
            metrics |= measures.of_characters(pooled)
            said = answers(pooled, split.classes)
            table = [(*where, *what) for where, what in zip(order, said, strict=True)]
            name = f"characters{'' if way == folds.KNOWN else f'-{way}'}{suffix}"
            report(source, name, f"held-out images, {way}", metrics, sorted(table), scratch)
            tables = Path(f"artifacts/{source}/predictions")
            columns = ("class", "images", "precision", "recall", "f1")
            path = tables / f"{name}-classes.csv"
            files.write_csv(path, columns, measures.of_classes(pooled), scratch)
            path = tables / f"{name}-pairs.csv"
            files.write_csv(path, ("one", "other", "times"), measures.confused(pooled), scratch)


def evaluate_archive(source: str, name: str, scratch: Path) -> None:
    """The shipped network of question one on every image of an archive, and with its writers known.

    Raises InputError for a path that does not tell the class.
    """
    archive = Path(f"data/raw/{source}/{name}")
    classifier = Classifier(Path(f"artifacts/{source}/characters.pt"))
    names, pixels, place = prepared(classifier, sorted(archive.glob("*.zip")))
    truth = torch.tensor([label_of(each) for each in names])
    writers = [alphabet.WRITER.search(each) for each in names]
    known = [writer[1] if writer else None for writer in writers]
    for suffix, hands in (("", None), ("-same-hand", known)):
        run = Answers(classifier.logits(pixels, place, hands), truth)
        metrics = measures.measure([run]) | {"images": len(names)} | measures.of_characters(run)
        said = enumerate(answers(run, classifier.classes))
        rows = [(row, 0, *each) for row, each in said]
        report(source, f"{name}{suffix}", name, metrics, rows, scratch)


def label_of(path: str) -> int:
    """The class that the folder of an image names."""
    folder = Path(path).parent.name
    if folder not in alphabet.CHARACTER_FOLDERS:
        raise InputError(f"{path}: not in the folder of a class, Sample001 to Sample062")
    return alphabet.CHARACTER_FOLDERS[folder]


def read_folds(path: Path) -> dict[str, np.ndarray[Any, np.dtype[np.int64]]]:
    """For each way of cross-validation, the fold of each row, int64 [N]."""
    rows = files.read_csv(path)
    ways = [name for name in rows[0] if name != "row"]
    return {way: np.array([int(row[way]) for row in rows], np.int64) for way in ways}


def answers(run: Answers, classes: Sequence[str]) -> Iterable[tuple[str, str, float]]:
    """(actual, predicted, confidence) of each image."""
    confidence, answer = run.logits.softmax(1).max(1)
    for truth, said, how_sure in zip(run.truth, answer, confidence, strict=True):
        yield classes[truth], classes[said], how_sure.item()


def report(
    source: str,
    network: str,
    split: str,
    metrics: dict[str, Any],
    rows: Iterable[Sequence[Any]],
    scratch: Path,
) -> None:
    """Write the metrics and what was said of each image (row, run, actual, ...), and print one."""
    files.write_json(Path(f"metrics/{source}/{network}.json"), {"split": split, **metrics}, scratch)
    columns = ("row", "run", "actual", "predicted", "confidence")
    files.write_csv(Path(f"artifacts/{source}/predictions/{network}.csv"), columns, rows, scratch)
    print(
        f"{source} {network}: {100 * metrics['accuracy']:.2f}% of {metrics['images']:,} images"
        f" (sd {100 * metrics['accuracy_sd']:.2f} over {len(metrics['correct'])} runs)"
    )


if __name__ == "__main__":
    entry.run(main)
