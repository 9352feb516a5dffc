"""Every image is classified by networks that were not trained on it; archives for testing."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from handwriting.characters import protocols
from handwriting.characters.writer_model import numbered
from handwriting.classifier import Classifier, mean_prediction
from handwriting.data import alphabet, dataset, folds
from handwriting.training import runs
from tests import workspace
from tests.workspace import run

SINGLE = ("characters", "characters-unseen-writers", "characters-ensemble")


def by_fold(each: list[torch.Tensor], fold_of: NDArray[np.int64]) -> torch.Tensor:
    """Of the logits of each fold's network, those of the network of an image's fold."""
    return torch.stack(each)[torch.from_numpy(fold_of), torch.arange(len(fold_of))]


def test_images_and_their_writers_others_are_classified_by_networks_not_trained_on_them(
    reproduced: Path,
) -> None:
    """All predictions are rebuilt from all networks' predictions for all images."""
    tensors = reproduced / "data/tensors/sample/characters"
    split = dataset.load(tensors / "train.safetensors")
    writers = dataset.load_writers(tensors / "writers.csv")
    folder = reproduced / "artifacts/sample"
    single, adapted = [], []
    for protocol, fold_of in folds.load(folder / "crossvalidation/folds.csv").items():
        networks = Classifier.all_of(folder / f"crossvalidation/{protocol}.pt")
        given = split.images, split.geometry
        held_out = by_fold([each.logits(*given) for each in networks], fold_of)
        single.append(held_out)
        models = [protocols.writer_model(each.saved[0]) for each in networks]
        context = held_out, runs.standardised(split), numbered(writers)
        adapted.append(by_fold([each.adapted_group(*context) for each in models if each], fold_of))
        if protocol == folds.UNSEEN:  # then as `predict --writer-regex` does
            users = by_fold([each.logits(*given, writers) for each in networks], fold_of)
            assert torch.equal(users.argmax(1), adapted[-1].argmax(1))
    table = pd.read_csv(folder / "evaluation/characters/predictions.csv", dtype={"actual": str})
    for suffix, each in (("", single), ("-adapted", adapted)):
        for name, logits in zip(SINGLE, [*each, mean_prediction(each)], strict=True):
            confidence, predicted = logits.softmax(1).max(1)
            assert table[name + suffix].astype(str).tolist() == [
                split.classes[i] for i in predicted
            ]
            assert np.allclose(table[f"{name}{suffix}-confidence"], confidence, atol=1e-3)
            metrics = reproduced / f"metrics/sample/{name}{suffix}.json"
            accuracy = (predicted.numpy() == split.labels).mean()
            assert json.loads(metrics.read_text())["accuracy"] == pytest.approx(accuracy, abs=1e-5)


def test_without_context_nothing_is_adapted_and_with_all_of_it_everything(reproduced: Path) -> None:
    metrics = reproduced / "metrics/sample"
    table = pd.read_csv(metrics / "characters/context_size.csv").set_index(["network", "context"])
    for name in SINGLE:
        for suffix, count in (("", 0), ("-adapted", 64)):
            found = json.loads((metrics / f"{name}{suffix}.json").read_text())
            row = table.loc[(name, count)]
            assert row["correct"] == round(found["accuracy"] * found["images"])
            assert (row["low"], row["high"]) == (found["low"], found["high"])
    types = pd.read_csv(metrics / "characters/character_types.csv").set_index("network")
    assert types.loc["characters"]["single"].sum() == table.loc[("characters", 0)]["correct"]


def test_the_sheets_show_mistakes_and_each_augmentation(reproduced: Path) -> None:
    folder = reproduced / "artifacts/sample/evaluation/characters"
    with (folder / "tiles.csv").open() as file:
        tiles = list(csv.DictReader(file))
    for name in ("worst", "confident"):
        rows = [row for row in tiles if row["sheet"] == name]
        assert rows
        assert all(row["actual"] != row["predicted"] for row in rows)
        with Image.open(folder / f"{name}.png") as sheet:
            assert sheet.size == (12 * 36, -(-len(rows) // 12) * 36)
    names = [row["row"] for row in tiles if row["sheet"] == "magnitudes"]
    assert names[:2] == ["as framed", "rotation 10"]
    assert names[-2:] == ["all, sampled", "sampled again"]
    with Image.open(folder / "magnitudes.png") as sheet:
        assert sheet.size == (12 * 36, len(names) * 36)
    held_out = (
        folds.load(reproduced / "artifacts/sample/crossvalidation/folds.csv")[folds.SEEN] == 0
    )
    places = pd.read_csv(folder / "map.csv")[["x", "y"]].drop_duplicates()
    assert len(places) == held_out.sum()


@pytest.fixture
def tester(reproduced: Path, tmp_path: Path) -> Path:
    """A folder with the shipped networks and an archive called `later`, in params.yaml alone."""
    for name in ("stages", "handwriting", "data/sample", "data/tensors/sample/characters"):
        shutil.copytree(reproduced / name, tmp_path / name)
    (tmp_path / "artifacts/sample").mkdir(parents=True)
    for name in ("characters.pt", "characters-ensemble.pt"):
        shutil.copy(reproduced / "artifacts/sample" / name, tmp_path / "artifacts/sample")
    params = workspace.read_params(reproduced)
    archives = params["sample"]["archives"]
    archives["later"] = archives["characters"]
    params["test_archives"] = ["later"]
    workspace.write_params(tmp_path, params)
    return tmp_path


def test_an_archive_for_testing_is_measured_as_predict_answers_it(tester: Path) -> None:
    run(tester, "python", "-m", "stages.data.download", "sample", "later")
    run(tester, "python", "-m", "stages.characters.evaluate_archive", "sample", "later")
    details = pd.read_csv(tester / "metrics/sample/later/details.csv").set_index("network")
    for kind in ("", "-ensemble"):
        for suffix, flags in (("", ()), ("-adapted", ("--writer-regex", r"(\d+)\.png$"))):
            model = f"artifacts/sample/characters{kind}.pt"
            command = ("python", "-m", "handwriting", "predict", model)
            out = run(tester, *command, "data/sample/trainPart1.zip", *flags).stdout
            rows = list(csv.DictReader(out.splitlines()))
            labels = [alphabet.CHARACTER_FOLDERS[row["path"].split("/")[-2]] for row in rows]
            correct = [
                alphabet.CHARACTERS[label] == row["label"]
                for label, row in zip(labels, rows, strict=True)
            ]
            name = f"later{kind}{suffix}"
            metrics = json.loads((tester / f"metrics/sample/{name}.json").read_text())
            assert metrics["accuracy"] == pytest.approx(np.mean(correct), abs=1e-5)
            assert metrics["images"] == len(rows)
            assert metrics["writers"] == len({row["path"][-7:] for row in rows})
            assert details.loc[name]["training_images"] == len(rows)  # the training archive


def test_naming_an_archive_for_testing_adds_its_stages_and_no_other(
    reproduced: Path, tester: Path
) -> None:
    shutil.copy(reproduced / "dvc.yaml", tester)
    run(tester, "git", "init", "--quiet")
    run(tester, "dvc", "init", "--quiet")
    command = ("dvc", "stage", "list", "--name-only", "stages/data/dvc.yaml")
    more = set(run(tester, *command, "stages/characters/dvc.yaml").stdout.split())
    default = set(run(reproduced, *command, "stages/characters/dvc.yaml").stdout.split())
    assert {name.split(":")[-1] for name in more - default} == {
        f"{stage}@{source}-later"
        for stage in ("download-test", "evaluate-test")
        for source in ("sample", "real")
    }
