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
writes  metrics/<source>/<network>.json and tables in metrics/<source>/<name>/, what was said of
        each image, artifacts/<source>/predictions/<name>.csv, pictures and what they show in
        artifacts/<source>/sheets/<name>/; for digits metrics/<source>/audit.json, for characters
        the shipped network without torch, artifacts/<source>/characters.onnx, with its card,
        artifacts/<source>/model-card.md, and together with the networks of the folds,
        artifacts/<source>/characters-ensemble.pt
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from handwriting.characters import protocols as reader
from handwriting.characters import writer_model as hand
from handwriting.classifier import Classifier, mean_answer, prepared
from handwriting.core import cli as entry
from handwriting.core import files
from handwriting.core.errors import InputError
from handwriting.data import alphabet, dataset, folds
from handwriting.data.dataset import Split
from handwriting.evaluation import embedding, gallery, sheets
from handwriting.evaluation import metrics as measures
from handwriting.evaluation.metrics import Answers
from handwriting.reporting import card
from handwriting.training import engine as parallel
from handwriting.training import export, model
from handwriting.training import loop as training
from handwriting.training.augmentation import Augmentation
from handwriting.training.compute import Compute
from handwriting.training.live import Point

DIGITS = [
    "mnist-random",
    "mnist-digits",
    "mnist-characters",
    "mnistTask3-naive",
    "mnistTask3-random",
    "mnistTask3-digits",
    "mnistTask3-characters",
]
WAYS = (folds.KNOWN, folds.NEW)
READINGS = {  # the readings of question one, and of what
    "characters": f"held-out images, {folds.KNOWN}",
    "characters-new-hands": f"held-out images, {folds.NEW}",
    "characters-ensemble": "held-out images, one network of each way",
}
TWINS_COLUMNS = ("reading", "twins", "images", "right", "taken_for_a_twin")
KINDS_COLUMNS = ("reading", "kind", "images", "alone", "beside_all", "beside_its_kind")
COMPANIONS_COLUMNS = ("reading", "companions", "right", "low", "high", "hands")
SHOWN = "0Oo1IlcCsSwW"  # classes whose first image is changed by each augmentation
COMPANIONS = (0, 1, 2, 4, 8, 16, 32, 64)  # others by the writer, from none to all: no one has more
NAIVE = "mnistTask3-naive"  # which is also asked what it holds for least likely
SHOWN_DIGITS = "mnist-characters"  # whose mistakes are looked at in question two,
SHOWN_CORRECTED = "mnistTask3-random"  # and in question three


Folds = NDArray[np.int64]  # [N], the fold of each image


def main(scratch: Path, source: str, name: str) -> None:
    torch.set_num_threads(1)
    if name == "characters":
        evaluate_characters(source, scratch)
        show_map(source, scratch)
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
    answers = parallel.run(partial(answers_of, source), DIGITS, one_core)
    folder = Path(f"artifacts/{source}/sheets/digits")
    tiles: list[gallery.Tile] = []
    for network, runs in zip(DIGITS, answers, strict=True):
        kinds = {network: runs}
        if network == NAIVE:  # it has learnt what an image is not
            kinds[f"{network}-argmin"] = [Answers(-run.logits, run.truth) for run in runs]
        for name, each in kinds.items():
            metrics = measures.measure(each, len(split.labels))
            metrics |= {"seeds": len(each), "images": len(split.labels)}
            report(source, name, "MNIST test", metrics, scratch)
        if network == SHOWN_DIGITS:
            tiles += gallery.show_worst(folder / "worst", split, runs[0], scratch)
            calibrate(Path(f"metrics/{source}/digits"), runs[0], scratch)
        elif network == SHOWN_CORRECTED:
            tiles += gallery.show_worst(folder / "corrected", split, runs[0], scratch)
    files.write_csv(folder / "tiles.csv", gallery.TILES, tiles, scratch)
    firsts = {network: runs[0] for network, runs in zip(DIGITS, answers, strict=True)}
    predict(Path(f"artifacts/{source}/predictions/digits.csv"), split.classes, firsts, scratch)


def answers_of(source: str, network: str) -> list[Answers]:
    """What each seed of a network of the digits says of MNIST's test split."""
    split = dataset.load(Path(f"data/tensors/{source}/mnist/test.safetensors"))
    classifiers = Classifier.all_of(f"artifacts/{source}/seeds/{network}.pt")
    truth = torch.from_numpy(split.labels)
    bar = tqdm(classifiers, network, unit="network", disable=None)
    return [Answers(each.logits(split.images), truth) for each in bar]


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
    hands = dataset.load_hands(tensors / "characters-hands.csv")
    drawn = read_folds(folder / "folds.csv")
    loaded = {way: model.load_all(folder / f"{way}.pt") for way in WAYS}
    networks = {way: [network for network, _ in loaded[way]] for way in WAYS}
    images, truth = torch.from_numpy(split.images), torch.from_numpy(split.labels)
    logits = {way: reader.unseen(networks[way], split, drawn[way], images) for way in WAYS}

    def read(others: torch.Tensor) -> dict[str, Answers]:
        """By the networks of each way, and by the mean of one of each, beside others by the writer,
        their rows [N, M]: none of these has learnt from what it answers."""
        each = [reader.beside(networks[w], split, drawn[w], logits[w], others) for w in WAYS]
        every = zip(READINGS, [*each, mean_answer(each)], strict=True)
        return {name: Answers(answers, truth) for name, answers in every}

    others = hand.others(hands)
    alone, together = read(others[:, :0]), read(others)
    said = {}
    for suffix, runs in (("", alone), ("-same-hand", together)):
        for name, run in runs.items():
            said[name + suffix] = run
            new = name == "characters-new-hands"
            metrics = characters(run, drawn[folds.NEW if new else folds.KNOWN], hands)
            metrics |= {"companions": companions(hands)} if suffix else {}
            metrics |= {"networks": len(WAYS)} if name == "characters-ensemble" else {}
            report(source, name + suffix, READINGS[name], metrics, scratch)
    none, *some, all_of_them = COMPANIONS
    counted = {none: alone} | {count: read(drawn_of(others, count)) for count in some}
    counted[all_of_them] = together
    tabulate(source, said, counted, hands, scratch)
    kinds = [alphabet.kind(split.classes[label]) for label in split.labels]
    of_kind = [f"{name} {kind}" for name, kind in zip(hands, kinds, strict=True)]
    rows = by_kind(kinds, alone, together, read(hand.others(of_kind)))
    files.write_csv(Path(f"metrics/{source}/characters/kinds.csv"), KINDS_COLUMNS, rows, scratch)
    sheets, run = Path(f"artifacts/{source}/sheets/characters"), said["characters"]
    tiles = gallery.show_worst(sheets / "worst", split, run, scratch)
    tiles += gallery.show_confident(sheets / "confident", split, run, scratch)
    tiles += show_strengths(sheets, split, loaded[folds.KNOWN][0][1], scratch)
    files.write_csv(sheets / "tiles.csv", gallery.TILES, tiles, scratch)
    predict(Path(f"artifacts/{source}/predictions/characters.csv"), split.classes, said, scratch)


def drawn_of(others: torch.Tensor, count: int) -> torch.Tensor:
    """So many of the others of each image, int64 [N, M], or all that there are: fewer of them are
    among those of a greater count."""
    order = torch.rand(others.shape, generator=training.generator(0, 0, "companions"))
    return others.gather(1, order.masked_fill(others < 0, 2.0).argsort(1))[:, :count]


def characters(whole: Answers, fold_of: Folds, hands: Sequence[str]) -> dict[str, Any]:
    """All that is measured of answers to every image of trainPart1, fold by fold."""
    rows = [torch.from_numpy(np.flatnonzero(fold_of == i)) for i in range(fold_of.max() + 1)]
    runs = [Answers(whole.logits[each], whole.truth[each]) for each in rows]
    metrics = measures.measure(runs) | {"folds": len(runs), "images": len(whole.truth)}
    metrics |= measures.of_characters(whole)
    return metrics | measures.between_hands(whole.right, hands)


def companions(hands: Sequence[str]) -> float:
    """How many others there are by an image's writer, on average."""
    return sum(count * (count - 1) for count in Counter(hands).values()) / len(hands)


def tabulate(
    source: str,
    said: Mapping[str, Answers],
    counted: Mapping[int, Mapping[str, Answers]],
    hands: Sequence[str],
    scratch: Path,
) -> None:
    """The published answers by class, the pairs of classes that are confused, how right the answers
    are for how sure they are, and the learning curves' means; what is taken for its twin in each
    reading; and how well images are read beside so many others by their writers."""
    folder, pooled = Path(f"metrics/{source}/characters"), said["characters"]
    columns = ("class", "images", "precision", "recall", "f1")
    files.write_csv(folder / "classes.csv", columns, measures.of_classes(pooled), scratch)
    pairs = measures.confused(pooled)
    files.write_csv(folder / "pairs.csv", ("one", "other", "times"), pairs, scratch)
    twins = [(name, *row) for name, run in said.items() for row in measures.of_twins(run)]
    files.write_csv(folder / "twins.csv", TWINS_COLUMNS, twins, scratch)
    rows = [
        (name, count, int(run.right.sum()), *measures.between_hands(run.right, hands).values())
        for count, runs in counted.items()
        for name, run in runs.items()
    ]
    files.write_csv(folder / "companions.csv", COMPANIONS_COLUMNS, rows, scratch)
    calibrate(folder, pooled, scratch)
    for way in WAYS:
        curves = files.read_csv(Path(f"artifacts/{source}/folds/{way}-curves.csv"))
        mean = measures.mean_curve(curves)
        files.write_csv(folder / f"{way}-mean.csv", Point._fields, mean, scratch)


def by_kind(
    kinds: Sequence[str], *runs: Mapping[str, Answers]
) -> Iterator[tuple[str, str, int, *tuple[int, ...]]]:
    """For each reading and kind of character: the images, and how many each run reads rightly."""
    for name in READINGS:
        for kind in dict.fromkeys(kinds):
            of_kind = torch.tensor([each == kind for each in kinds])
            right = (int(run[name].right[of_kind].sum()) for run in runs)
            yield (name, kind, int(of_kind.sum()), *right)


def calibrate(folder: Path, run: Answers, scratch: Path) -> None:
    """How right the answers are for how sure they are."""
    columns = ("low", "high", "images", "confidence", "accuracy")
    files.write_csv(folder / "calibration.csv", columns, measures.reliability(run), scratch)


def show_map(source: str, scratch: Path) -> None:
    """A network's map of the images that it has not seen."""
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


def show_strengths(
    folder: Path, split: Split, about: Mapping[str, Any], scratch: Path
) -> list[gallery.Tile]:
    """What the augmentations that networks were trained with make of some images."""
    images = gallery.firsts(split, SHOWN)
    strength = Augmentation(**about["augmentation"])
    return gallery.show_strengths(folder / "strengths", images, strength, scratch)


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
    tables = Path(f"metrics/{source}/characters")
    classes, pairs = (files.read_csv(tables / f"{each}.csv") for each in ("classes", "pairs"))
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
    said = {}
    for kind, classifier in (("", shipped), ("-ensemble", ensemble)):
        for suffix, hands in (("", None), ("-same-hand", known)):
            run = Answers(classifier.logits(pixels, place, hands), truth)
            metrics = measures.measure([run]) | {"images": len(names)} | measures.of_characters(run)
            metrics["images_learnt_from"] = repeated  # which it should not hold
            report(source, f"{name}{kind}{suffix}", name, metrics, scratch)
            said[f"{name}{kind}{suffix}"] = run
    predict(Path(f"artifacts/{source}/predictions/{name}.csv"), shipped.classes, said, scratch)


def label_of(path: str) -> int:
    """The class that the folder of an image names."""
    folder = Path(path).parent.name
    if folder not in alphabet.CHARACTER_FOLDERS:
        raise InputError(f"{path}: not in the folder of a class, Sample001 to Sample062")
    return alphabet.CHARACTER_FOLDERS[folder]


def read_folds(path: Path) -> dict[str, Folds]:
    """For each way of cross-validation, the fold of each row, int64 [N]."""
    rows = files.read_csv(path)
    ways = [name for name in rows[0] if name != "row"]
    return {way: np.array([int(row[way]) for row in rows], np.int64) for way in ways}


def predict(path: Path, classes: Sequence[str], said: Mapping[str, Answers], scratch: Path) -> None:
    """Write what each of several readings says of each image, and how sure of it it is."""
    columns: dict[str, Iterable[Any]] = {}
    for name, run in said.items():
        confidence, answer = run.logits.softmax(1).max(1)
        columns |= {name: [classes[i] for i in answer], f"{name}-confidence": confidence.tolist()}
    truth = [classes[i] for i in run.truth]
    rows = zip(range(len(truth)), truth, *columns.values(), strict=True)
    files.write_csv(path, ["row", "actual", *columns], rows, scratch)


def report(source: str, network: str, split: str, metrics: dict[str, Any], scratch: Path) -> None:
    """Write the metrics of a network on a split, and print one."""
    files.write_json(Path(f"metrics/{source}/{network}.json"), {"split": split, **metrics}, scratch)
    print(
        f"{source} {network}: {100 * metrics['accuracy']:.2f}% of {metrics['images']:,} images"
        f" (sd {100 * metrics['accuracy_sd']:.2f} over {len(metrics['correct'])} runs)"
    )


if __name__ == "__main__":
    entry.run(main)
