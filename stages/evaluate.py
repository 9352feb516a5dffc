"""Measure networks on images that they have not learnt from.

`characters`: every image of trainPart1 by the network of question one whose training left it out,
alone and together with the others by its writer. `digits`: MNIST's test split, which no other stage
reads, by all networks of questions two and three. Any other name is an archive of test_archives in
params.yaml, laid out as trainPart1 is: it is read by the shipped network as a user would have it.

reads   artifacts/<source>/folds/, artifacts/<source>/characters.pt,
        data/tensors/<source>/characters/, characters-hands.csv; or
        artifacts/<source>/seeds/<network>.pt, artifacts/<source>/audit/,
        data/tensors/<source>/mnist/test.safetensors, mnistTask3/train.safetensors; or
        artifacts/<source>/characters.pt, data/raw/<source>/<archive>/,
        data/tensors/<source>/characters/
writes  metrics/<source>/<network>.json, artifacts/<source>/predictions/<network>.csv, pictures and
        what they show in artifacts/<source>/sheets/<name>/; for digits metrics/<source>/audit.json,
        for characters predictions/characters-{classes,pairs}.csv, and the shipped network without
        torch, artifacts/<source>/characters.onnx, with its card, artifacts/<source>/model-card.md,
        and together with the networks of the folds, artifacts/<source>/characters-ensemble.pt
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.common import alphabet, dataset, folds, measures
from stages.common.core import entry, files
from stages.common.core.errors import InputError
from stages.common.exhibits import card, embedding, export, gallery, sheets
from stages.common.learning import model, parallel
from stages.common.learning.augmentation import Augmentation
from stages.common.learning.compute import Compute
from stages.common.measures import Answers
from stages.predict import Classifier, mean_answer, prepared

DIGITS = [
    "mnist-random",
    "mnist-digits",
    "mnist-characters",
    "mnistTask3-naive",
    "mnistTask3-random",
    "mnistTask3-digits",
    "mnistTask3-characters",
]
NAIVE = "mnistTask3-naive"  # which is also asked what it holds for least likely
SHOWN_DIGITS = "mnist-characters"  # whose mistakes are looked at in question two,
SHOWN_CORRECTED = "mnistTask3-random"  # and in question three


def main(scratch: Path, source: str, name: str) -> None:
    torch.set_num_threads(1)
    if name == "characters":
        evaluate_characters(source, scratch)
        show_characters(source, scratch)
        ship(source, scratch)
    elif name == "digits":
        evaluate_digits(source, scratch)
        evaluate_audit(source, scratch)
        given = dataset.load(Path(f"data/tensors/{source}/mnistTask3/train.safetensors"))
        gallery.show_folders(Path(f"artifacts/{source}/sheets/digits"), given, scratch)
    else:
        evaluate_archive(source, name, scratch)


def evaluate_digits(source: str, scratch: Path) -> None:
    """All networks of the digits on MNIST's test split."""
    split = dataset.load(Path(f"data/tensors/{source}/mnist/test.safetensors"))
    one_core = Compute(device="cpu", precision="float32", threads=1, launcher="")
    said = parallel.run(partial(answers_of, source), DIGITS, one_core)
    folder = Path(f"artifacts/{source}/sheets/digits")
    for network, runs in zip(DIGITS, said, strict=True):
        metrics = measures.measure(runs, len(split.labels))
        metrics |= {"seeds": len(runs), "images": len(split.labels)}
        rows = [(row, 0, *each) for row, each in enumerate(answers(runs[0], split.classes))]
        report(source, network, "MNIST test", metrics, rows, scratch)
        if network == NAIVE:  # it has learnt what an image is not
            turned = [Answers(-run.logits, run.truth) for run in runs]
            metrics |= measures.measure(turned, len(split.labels))
            path = Path(f"metrics/{source}/{network}-argmin.json")
            files.write_json(path, {"split": "MNIST test", **metrics}, scratch)
        if network == SHOWN_DIGITS:
            gallery.show_mistakes(folder, split, runs[0], scratch)
        elif network == SHOWN_CORRECTED:
            gallery.show_worst(folder / "corrected", split, runs[0], scratch)


def answers_of(source: str, network: str) -> list[Answers]:
    """What each seed of a network of the digits says of MNIST's test split."""
    split = dataset.load(Path(f"data/tensors/{source}/mnist/test.safetensors"))
    classifiers = Classifier.all_of(f"artifacts/{source}/seeds/{network}.pt")
    truth = torch.from_numpy(split.labels)
    return [Answers(each.logits(split.images), truth) for each in classifiers]


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
    drawn = read_folds(folder / "folds.csv")
    said_of: dict[str, list[Tensor]] = {"": [], "-same-hand": []}  # [N, classes] for each way
    for way, fold_of in drawn.items():
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
            metrics |= measures.between_hands(pooled.right, [hands[row] for row, _ in order])
            metrics |= {"companions": companions(hands, fold_of)} if suffix else {}
            said_of[suffix].append(pooled.logits[torch.tensor([row for row, _ in order]).argsort()])
            said = answers(pooled, split.classes)
            table = [(*where, *what) for where, what in zip(order, said, strict=True)]
            name = f"characters{'' if way == folds.KNOWN else f'-{way}'}{suffix}"
            report(source, name, f"held-out images, {way}", metrics, sorted(table), scratch)
            if name == "characters":
                tabulate(source, pooled, scratch)
                shown = split.rows(np.array([row for row, _ in order]))
                gallery.show_mistakes(
                    Path(f"artifacts/{source}/sheets/characters"), shown, pooled, scratch
                )
    evaluate_ensemble(source, split, hands, drawn[folds.KNOWN], said_of, scratch)


def companions(
    hands: np.ndarray[Any, np.dtype[np.str_]], fold_of: np.ndarray[Any, np.dtype[np.int64]]
) -> float:
    """In the light of how many others by its writer an image is read, on average."""
    together = Counter(zip(hands.tolist(), fold_of.tolist(), strict=True))
    return sum(count * (count - 1) for count in together.values()) / len(hands)


def tabulate(source: str, pooled: Answers, scratch: Path) -> None:
    """The published answers by class, and the pairs of classes that are confused."""
    folder = Path(f"artifacts/{source}/predictions")
    columns = ("class", "images", "precision", "recall", "f1")
    classes = measures.of_classes(pooled)
    files.write_csv(folder / "characters-classes.csv", columns, classes, scratch)
    pairs = measures.confused(pooled)
    files.write_csv(folder / "characters-pairs.csv", ("one", "other", "times"), pairs, scratch)


def evaluate_ensemble(
    source: str,
    split: dataset.Split,
    hands: np.ndarray[Any, np.dtype[np.str_]],
    fold_of: np.ndarray[Any, np.dtype[np.int64]],
    said_of: dict[str, list[Tensor]],
    scratch: Path,
) -> None:
    """Two networks on every image, one of each cross-validation: neither has learnt from it."""
    for suffix, logits in said_of.items():
        together = mean_answer(logits)
        truth = torch.from_numpy(split.labels)
        rows = [torch.from_numpy(np.flatnonzero(fold_of == i)) for i in range(fold_of.max() + 1)]
        runs = [Answers(together[each], truth[each]) for each in rows]
        metrics = measures.measure(runs) | {"folds": len(runs), "images": len(truth)}
        whole = Answers(together, truth)
        metrics |= {"networks": len(logits)} | measures.of_characters(whole)
        metrics |= measures.between_hands(whole.right, hands.tolist())
        said = zip(fold_of.tolist(), answers(whole, split.classes), strict=True)
        table = [(row, fold, *each) for row, (fold, each) in enumerate(said)]
        name = f"characters-ensemble{suffix}"
        report(source, name, "held-out images, one network of each way", metrics, table, scratch)


def show_characters(source: str, scratch: Path) -> None:
    """A network's map of the images that it has not seen; and what augmentation makes of images."""
    tensors, folder = Path(f"data/tensors/{source}"), Path(f"artifacts/{source}/folds")
    split = dataset.load_all(tensors / "characters")
    part = split.rows(np.flatnonzero(read_folds(folder / "folds.csv")[folds.KNOWN] == 0))
    classifier = Classifier.all_of(folder / f"{folds.KNOWN}.pt")[0]
    answer = partial(classifier.logits, part.images, part.place)
    features, logits = embedding.seen_by(classifier.network.head, answer)
    where, said = embedding.plane(features).round(2).tolist(), logits.argmax(1)
    table = [
        (x, y, part.classes[truth], part.classes[one])
        for (x, y), truth, one in zip(where, part.labels, said, strict=True)
    ]
    out = Path(f"artifacts/{source}/sheets/characters")
    files.write_csv(out / "map.csv", ("x", "y", "actual", "predicted"), table, scratch)
    files.write_bytes(out / "map.png", sheets.sheet(part.images, 2 * gallery.COLUMNS), scratch)
    strength = Augmentation(**classifier.about["augmentation"])
    some = np.unique(split.labels, return_index=True)[1][::8]  # the first of every eighth class
    gallery.show_augmented(out, split.images[some], strength, scratch)


def ship(source: str, scratch: Path) -> None:
    """The network that is shipped for others than torch, and a card that says what it is."""
    folder = Path(f"artifacts/{source}")
    classifier = Classifier(folder / "characters.pt")
    members = [
        member
        for name in ("characters", f"folds/{folds.KNOWN}", f"folds/{folds.NEW}")
        for member in model.load_all(folder / f"{name}.pt")
    ]
    model.save(members, folder / "characters-ensemble.pt", scratch)
    about = {name: str(digest) for name, digest in classifier.about["data"].items()}
    graph = export.to_onnx(classifier.network, about)
    files.write_bytes(folder / "characters.onnx", graph, scratch)
    names = [
        f"characters{way}{suffix}"
        for way in ("", "-new-hands", "-ensemble")
        for suffix in ("", "-same-hand")
    ]
    metrics = {name: files.read_json(Path(f"metrics/{source}/{name}.json")) for name in names}
    tables = Path(f"artifacts/{source}/predictions")
    classes = files.read_csv(tables / "characters-classes.csv")
    pairs = files.read_csv(tables / "characters-pairs.csv")
    text = card.text(source, classifier.network, classifier.about, metrics, classes, pairs)
    files.write_bytes(folder / "model-card.md", text.encode(), scratch)


def evaluate_archive(source: str, name: str, scratch: Path) -> None:
    """The shipped network and the ensemble on an archive, its writers unknown and known.

    Raises InputError for a path that does not tell the class.
    """
    archive, tensors = Path(f"data/raw/{source}/{name}"), Path(f"data/tensors/{source}/characters")
    if not (zips := sorted(archive.glob("*.zip"))):
        raise InputError(f"{archive}: no zip archive in it, or no such folder")
    shipped, ensemble = (
        Classifier(Path(f"artifacts/{source}/characters{kind}.pt")) for kind in ("", "-ensemble")
    )
    names, pixels, place = prepared(shipped, zips)
    learnt = {each.tobytes() for each in dataset.load_all(tensors).images}
    repeated = sum(each.tobytes() in learnt for each in pixels)
    truth = torch.tensor([label_of(each) for each in names])
    writers = [alphabet.WRITER.search(each) for each in names]
    known = [writer[1] if writer else None for writer in writers]
    for kind, classifier in (("", shipped), ("-ensemble", ensemble)):
        for suffix, hands in (("", None), ("-same-hand", known)):
            run = Answers(classifier.logits(pixels, place, hands), truth)
            metrics = measures.measure([run]) | {"images": len(names)} | measures.of_characters(run)
            metrics["images_learnt_from"] = repeated  # which it should not hold
            rows = [(row, 0, *each) for row, each in enumerate(answers(run, classifier.classes))]
            report(source, f"{name}{kind}{suffix}", name, metrics, rows, scratch)


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
