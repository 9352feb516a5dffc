"""Every image is classified by networks that were not trained on it; archives for testing."""

import csv
import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from handwriting.characters import protocols
from handwriting.characters.writer_model import numbered
from handwriting.classifier import Classifier
from handwriting.core import files
from handwriting.data import alphabet, dataset, folds
from handwriting.torch_networks import mean_prediction
from handwriting.training import runs
from tests import workspace
from tests.workspace import run

SINGLE = ("characters", "characters-unseen-writers", "characters-ensemble")


def logits(classifier: Classifier, *given: Any) -> torch.Tensor:
    return torch.from_numpy(classifier.logits(*given))


def by_fold(each: list[torch.Tensor], fold_of: NDArray[np.int64]) -> torch.Tensor:
    """Of the logits of each fold's network, those of the network of an image's fold."""
    return torch.stack(each)[torch.from_numpy(fold_of), torch.arange(len(fold_of))]


def test_images_and_contexts_are_predicted_by_networks_not_trained_on_them(
    reproduced: Path,
) -> None:
    """All predictions are rebuilt from all networks' predictions for all images."""
    tensors = reproduced / "data/tensors/sample/characters"
    split = dataset.load(tensors / "train.safetensors")
    writers = dataset.load_writers(tensors / "writers.csv")
    folder, given = reproduced / "artifacts/sample", (split.images, split.geometry)
    single, adapted = [], []
    for protocol, fold_of in folds.load(folder / "crossvalidation/folds.csv").items():
        networks = Classifier.all_of(folder / f"crossvalidation/{protocol}.pt")
        single.append(by_fold([logits(each, *given) for each in networks], fold_of))
        models = [protocols.writer_model(each.saved[0]) for each in networks]
        context = single[-1], runs.standardised(split), numbered(writers)
        adapted.append(by_fold([each.adapted_group(*context) for each in models if each], fold_of))
        if protocol == folds.UNSEEN:  # as `predict --writer-regex` does
            users = by_fold([logits(each, *given, writers) for each in networks], fold_of)
            assert torch.equal(users.argmax(1), adapted[-1].argmax(1))
    table = files.read_csv(folder / "evaluation/characters/predictions.csv")
    for suffix, each in (("", single), ("-adapted", adapted)):
        for single_name, wanted in zip(SINGLE, [*each, mean_prediction(each)], strict=True):
            name = single_name + suffix
            confidence, predicted = wanted.softmax(1).max(1)
            assert [row[name] for row in table] == [split.classes[i] for i in predicted]
            written = [float(row[f"{name}-confidence"]) for row in table]
            assert np.allclose(written, confidence, atol=1e-3)
            metrics = files.read_json(reproduced / f"metrics/sample/{name}.json")
            accuracy = (predicted.numpy() == split.labels).mean()
            assert metrics["accuracy"] == pytest.approx(accuracy, abs=1e-5)


def test_the_tables_count_what_the_metrics_do(reproduced: Path) -> None:
    metrics = reproduced / "metrics/sample"
    sizes = pd.read_csv(metrics / "characters/context_size.csv")
    correct = sizes.set_index(["context", "network"])["correct"]
    types = pd.read_csv(metrics / "characters/character_types.csv").groupby("network").sum()
    for suffix, column, size in (("", "single", 0), ("-adapted", "adapted", 64)):  # none, all
        assert types[column].to_dict() == correct[size].to_dict()
        for name in SINGLE:
            found = files.read_json(metrics / f"{name}{suffix}.json")
            assert correct[size, name] == round(found["accuracy"] * found["images"])


def test_the_sheets_show_mistakes_and_each_augmentation(reproduced: Path) -> None:
    folder = reproduced / "artifacts/sample/evaluation/characters"
    tiles = files.read_csv(folder / "tiles.csv")
    for name, tiles_a_row in (("worst", 12), ("confident", 12), ("magnitudes", 1)):
        rows = [row for row in tiles if row["sheet"] == name]
        wrong = [row["actual"] != row["predicted"] for row in rows]
        assert any(wrong) == all(wrong) == (name != "magnitudes")
        with Image.open(reproduced / f"artifacts/sample/figures/characters/{name}.png") as sheet:
            assert sheet.size == (12 * 36, -(-len(rows) // tiles_a_row) * 36)
    assert [row["row"] for row in rows][:2] == ["as framed", "rotation 15"]
    fold_of = folds.load(reproduced / "artifacts/sample/crossvalidation/folds.csv")[folds.SEEN]
    positions = {(row["x"], row["y"]) for row in files.read_csv(folder / "map.csv")}
    assert len(positions) == (fold_of == 0).sum()


@pytest.fixture
def tester(reproduced: Path, tmp_path: Path) -> Path:
    """A folder with the shipped networks and an archive called `later`, in params.yaml alone."""
    for name in ("stages", "handwriting", "data/sample", "data/tensors/sample/characters"):
        shutil.copytree(reproduced / name, tmp_path / name)
    (tmp_path / "artifacts/sample").mkdir(parents=True)
    for path in (reproduced / "artifacts/sample").glob("characters*.pt"):
        shutil.copy(path, tmp_path / "artifacts/sample")
    params = workspace.read_params(reproduced)
    archives = params["sample"]["archives"]
    archives["later"] = archives["characters"]
    params["test_archives"] = ["later"]
    workspace.write_params(tmp_path, params)
    return tmp_path


def test_an_archive_for_testing_is_measured_as_predict_answers_it(tester: Path) -> None:
    run(tester, "python", "-m", "stages.data.download", "sample", "later")
    run(tester, "python", "-m", "stages.characters.evaluate_archive", "sample", "later")
    details = {r["network"]: r for r in files.read_csv(tester / "metrics/sample/later/details.csv")}
    for kind in ("", "-ensemble"):
        for suffix, flags in (("", ()), ("-adapted", ("--writer-regex", r"(\d+)\.png$"))):
            model = f"artifacts/sample/characters{kind}.pt"
            command = ("python", "-m", "handwriting", "predict", "--model", model)
            out = run(tester, *command, "data/sample/trainPart1.zip", *flags).stdout
            rows = list(csv.DictReader(out.splitlines()))
            labels = [alphabet.CHARACTER_FOLDERS[row["path"].split("/")[-2]] for row in rows]
            predicted = [alphabet.CHARACTERS.index(row["label"]) for row in rows]
            name, accuracy = f"later{kind}{suffix}", np.mean(np.equal(labels, predicted))
            metrics = files.read_json(tester / f"metrics/sample/{name}.json")
            assert metrics["accuracy"] == pytest.approx(accuracy, abs=1e-5)
            assert metrics["writers"] == len({row["path"][-7:] for row in rows})
            assert int(details[name]["training_images"]) == len(rows)  # the training archive


def test_naming_a_test_archive_adds_its_stages_alone(reproduced: Path, tester: Path) -> None:
    run(tester, "git", "init", "--quiet")
    run(tester, "dvc", "init", "--quiet")
    questions = [f"stages/{name}/dvc.yaml" for name in ("data", "characters")]
    more, default = (
        set(run(folder, "dvc", "stage", "list", "--name-only", *questions).stdout.split())
        for folder in (tester, reproduced)
    )
    stages = itertools.product(("download-test", "evaluate-test"), ("sample", "real"))
    added = {name.split(":")[-1] for name in more - default}
    assert added == {f"{stage}@{source}-later" for stage, source in stages}
