"""What is measured, against an independent count; archives for testing alone; folds kept apart."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from handwriting.characters import writer_model as hand
from handwriting.classifier import Classifier
from handwriting.data import alphabet, dataset
from handwriting.evaluation import metrics as measures
from handwriting.evaluation.metrics import Answers
from handwriting.training import loop as training
from handwriting.training import runs as arms
from stages.characters import evaluate
from tests import workspace
from tests.workspace import run


def logits_for(said: list[int], classes: int = 62) -> torch.Tensor:
    """Logits whose largest is at `said`."""
    return torch.nn.functional.one_hot(torch.tensor(said), classes).float() * 5


def test_case_folding_forgives_the_case_and_nothing_else() -> None:
    of = alphabet.CHARACTERS.index
    truth = torch.tensor([of("c"), of("C"), of("0"), of("l")])
    found = measures.of_characters(Answers(logits_for([of("C"), of("C"), of("O"), of("1")]), truth))
    assert found["case_folded_accuracy"] == 0.5
    assert found["digits_accuracy"] == 0
    assert found["digit_images"] == 1


def test_classes_and_pairs_are_counted() -> None:
    of = alphabet.CHARACTERS.index
    truth = torch.tensor([of("c"), of("C"), of("C"), of("0")])
    run = Answers(logits_for([of("C"), of("C"), of("c"), of("O")]), truth)
    assert measures.confused(run) == [("C", "c", 2), ("0", "O", 1)]
    rows = {row[0]: row[1:5] for row in measures.of_classes(run)}
    assert rows["C"] == (2, 0.5, 0.5, 0.5)
    assert rows["c"] == (1, 0, 0, 0)


def test_twins_are_counted_apart_from_other_mistakes() -> None:
    of = alphabet.CHARACTERS.index
    truth = torch.tensor([of(each) for each in "0Oo0cCx"])
    run = Answers(logits_for([of(each) for each in "0o09CCY"]), truth)
    rows = {twins: rest for twins, *rest in measures.of_twins(run)}
    assert rows["0Oo"] == [4, 1, 2]  # and one 0 is taken for a 9
    assert rows["Cc"] == [2, 1, 1]
    assert rows["Xx"] == [1, 0, 0]
    assert sum(images for images, *_ in rows.values()) == 7


def test_runs_of_different_size_count_by_their_images() -> None:
    sizes, wrong = (10, 30), (5, 0)
    runs = [
        Answers(logits_for([1] * bad + [0] * (size - bad)), torch.zeros(size, dtype=torch.int64))
        for size, bad in zip(sizes, wrong, strict=True)
    ]
    measured = measures.measure(runs)
    assert measured["correct"] == [5, 30]
    assert measured["accuracy"] == 35 / 40
    assert measured["accuracy_sd"] == pytest.approx(0.35355, abs=1e-4)


def test_a_network_that_is_as_sure_as_it_is_right_has_no_calibration_error() -> None:
    half = torch.zeros(100, 2)
    truth = torch.arange(100) % 2
    assert measures.calibration_error(Answers(half, truth)) == pytest.approx(0, abs=1e-6)
    sure = half + torch.tensor([20.0, 0.0])
    assert measures.calibration_error(Answers(sure, truth)) == pytest.approx(0.5, abs=1e-3)


def test_an_interval_is_of_the_images_however_many_runs_share_them() -> None:
    truth = torch.zeros(100, dtype=torch.int64)
    runs = [Answers(logits_for([0] * 90 + [1] * 10), truth)] * 3
    shared, apart = measures.measure(runs, 100), measures.measure(runs)
    assert shared["accuracy_low"] == pytest.approx(0.8256, abs=1e-4)  # Wilson's, of 90 in 100
    assert shared["accuracy_high"] == pytest.approx(0.9448, abs=1e-4)
    assert apart["accuracy_low"] > shared["accuracy_low"]  # of 270 in 300


def test_folds_are_calibrated_together() -> None:
    half = torch.zeros(100, 2)
    one, other = (Answers(half, torch.full((100,), label)) for label in (0, 1))
    assert measures.measure([one, other])["calibration_error"] == pytest.approx(0, abs=1e-6)
    assert measures.measure([one, other], 100)["calibration_error"] == pytest.approx(0.5)


def test_an_interval_between_hands_is_wider_where_their_images_are_read_alike() -> None:
    right = torch.tensor([True] * 15 + [False] * 5)
    alike = measures.between_hands(right, [str(i // 5) for i in range(20)])
    apart = measures.between_hands(right, [str(i) for i in range(20)])
    # Of four hands, three read wholly and one not at all: 0.75 -+ 3.182 x 0.25.
    assert alike["accuracy_low"] == pytest.approx(0, abs=1e-9)
    assert alike["accuracy_high"] == 1
    # Of twenty: 0.75 -+ 2.093 x 0.4443 / sqrt(20).
    assert apart["accuracy_low"] == pytest.approx(0.75 - 0.2079, abs=1e-3)
    assert (alike["hands"], apart["hands"]) == (4, 20)


def test_reliability_counts_every_image_once() -> None:
    sure = torch.tensor([[5.0, 0.0], [0.0, 0.0], [0.1, 0.0], [0.0, 5.0]])
    rows = measures.reliability(Answers(sure, torch.tensor([0, 0, 1, 0])))
    assert [row[2] for row in rows] == [2, 2]
    assert [row[4] for row in rows] == [0.5, 0.5]
    assert all(low <= confidence <= high for low, high, _, confidence, _ in rows)


def test_the_shipped_network_answers_the_same_without_torch(reproduced: Path) -> None:
    folder = reproduced / "artifacts/sample"
    split = dataset.load_all(reproduced / "data/tensors/sample/characters").rows(slice(100))
    wanted = Classifier(folder / "characters.pt").probabilities(split.images, split.place)
    session = onnxruntime.InferenceSession(folder / "characters.onnx")
    given = {"image": split.images.astype(np.float32), "place": split.place}
    [found] = session.run(None, given)
    assert np.abs(found - wanted).max() < 1e-5


def test_the_sheets_show_mistakes_and_the_model_card_tells_the_metrics(reproduced: Path) -> None:
    folder = reproduced / "artifacts/sample"
    with (folder / "sheets/characters/tiles.csv").open() as file:
        tiles = list(csv.DictReader(file))
    for name in ("worst", "confident"):
        rows = [row for row in tiles if row["sheet"] == name]
        assert rows
        assert all(row["actual"] != row["predicted"] for row in rows)
        with Image.open(folder / f"sheets/characters/{name}.png") as sheet:
            assert sheet.width == 12 * 36
            assert sheet.height == -(-len(rows) // 12) * 36
    names = [row["row"] for row in tiles if row["sheet"] == "strengths"]
    assert names[:2] == ["as framed", "rotation 10"]
    assert names[-2:] == ["all, drawn", "drawn again"]
    with Image.open(folder / "sheets/characters/strengths.png") as sheet:
        assert sheet.size == (12 * 36, len(names) * 36)
    with (folder / "sheets/characters/map.csv").open() as file:
        assert len({(row["x"], row["y"]) for row in csv.DictReader(file)}) == 155
    metrics = json.loads((reproduced / "metrics/sample/characters.json").read_text())
    card = (folder / "model-card.md").read_text()
    assert f"{100 * metrics['accuracy']:.2f}%" in card
    assert "310" in card


def test_no_network_is_measured_on_what_it_has_learnt_from(reproduced: Path) -> None:
    """What is written of an image is what the network of its fold says, counted from the table."""
    split = dataset.load_all(reproduced / "data/tensors/sample/characters")
    folder = reproduced / "artifacts/sample"
    with (folder / "folds/folds.csv").open() as file:
        folds = list(csv.DictReader(file))
    with (folder / "predictions/characters.csv").open() as file:
        said = list(csv.DictReader(file))
    for way, name in (("known-hands", "characters"), ("new-hands", "characters-new-hands")):
        networks = Classifier.all_of(folder / f"folds/{way}.pt")
        answers = [each.probabilities(split.images, split.place).argmax(1) for each in networks]
        for row, (fold, answer) in enumerate(zip(folds, said, strict=True)):
            assert int(answer["row"]) == row
            assert answer[name] == split.classes[answers[int(fold[way])][row]]


def test_with_the_writers_other_images_all_of_them_are_known_and_no_label(
    reproduced: Path,
) -> None:
    """New hands are read as `predict --hand-from` reads them."""
    split = dataset.load_all(reproduced / "data/tensors/sample/characters")
    hands = dataset.load_hands(reproduced / "data/tensors/sample/characters-hands.csv")
    folder = reproduced / "artifacts/sample"
    with (folder / "folds/folds.csv").open() as file:
        fold_of = [int(row["new-hands"]) for row in csv.DictReader(file)]
    with (folder / "predictions/characters.csv").open() as file:
        said = [row["characters-new-hands-same-hand"] for row in csv.DictReader(file)]
    answers = [
        each.logits(split.images, split.place, hands).argmax(1)
        for each in Classifier.all_of(folder / "folds/new-hands.pt")
    ]
    assert said == [split.classes[answers[fold][row]] for row, fold in enumerate(fold_of)]
    with (reproduced / "metrics/sample/characters/companions.csv").open() as file:
        right = {(r["reading"], r["companions"]): int(r["right"]) for r in csv.DictReader(file)}
    for name in ("characters", "characters-new-hands", "characters-ensemble"):
        for suffix, count in (("", "0"), ("-same-hand", "64")):  # none, and more than there are
            metrics = reproduced / f"metrics/sample/{name}{suffix}.json"
            assert right[name, count] == sum(json.loads(metrics.read_text())["correct"])


def test_others_by_a_known_hand_are_answered_by_networks_that_have_not_seen_them(
    reproduced: Path,
) -> None:
    """Each image's answer, and how sure, is rebuilt from what the network of its fold says of it
    and of its writer's others what those of theirs do."""
    split = dataset.load_all(reproduced / "data/tensors/sample/characters")
    hands = dataset.load_hands(reproduced / "data/tensors/sample/characters-hands.csv")
    folder, number = reproduced / "artifacts/sample", hand.numbered(hands)
    with (folder / "folds/folds.csv").open() as file:
        folds = list(csv.DictReader(file))
    place, said = arms.placed(split), []
    for way in ("known-hands", "new-hands"):
        networks = [each.network for each in Classifier.all_of(folder / f"folds/{way}.pt")]
        fold_of = torch.tensor([int(row[way]) for row in folds])
        images = torch.from_numpy(split.images)
        every = torch.stack([training.logits_of(each, images, place) for each in networks])
        unseen = every[fold_of, torch.arange(len(images))]
        read = [each.hand.together(unseen, place, number) for each in networks]
        said.append(torch.stack(read)[fold_of, torch.arange(len(images))].softmax(1))
    rebuilt = {
        "characters-same-hand": said[0],
        "characters-new-hands-same-hand": said[1],
        "characters-ensemble-same-hand": (said[0] + said[1]) / 2,
    }
    with (folder / "predictions/characters.csv").open() as file:
        table = list(csv.DictReader(file))
    for name, probabilities in rebuilt.items():
        sure, index = probabilities.max(1)
        assert [row[name] for row in table] == [split.classes[i] for i in index]
        written = torch.tensor([float(row[f"{name}-confidence"]) for row in table])
        assert (written - sure).abs().max() < 1e-3


def test_so_many_others_are_drawn_and_never_the_image_itself() -> None:
    others = hand.others(["a"] * 6 + ["b"] * 3 + ["c"])
    there = [{*row} - {-1} for row in others.tolist()]
    before: list[set[int]] = [set() for _ in there]
    for count in (1, 2, 4, 8):
        drawn = [{*row} - {-1} for row in evaluate.drawn_of(others, count).tolist()]
        for chosen, fewer, every in zip(drawn, before, there, strict=True):
            assert len(chosen) == min(count, len(every))
            assert fewer <= chosen <= every
        before = drawn
    assert drawn == there


def test_the_ensemble_is_measured_by_two_networks_that_have_not_learnt_from_the_image(
    reproduced: Path,
) -> None:
    tensors, folder = reproduced / "data/tensors/sample", reproduced / "artifacts/sample/folds"
    split = dataset.load_all(tensors / "characters")
    with (folder / "folds.csv").open() as file:
        held_out_by = list(csv.DictReader(file))
    networks = {
        way: Classifier.all_of(folder / f"{way}.pt") for way in ("known-hands", "new-hands")
    }
    right = [0, 0]
    for row, by in enumerate(held_out_by):
        one = split.rows(slice(row, row + 1))
        said = [
            each[int(by[way])].probabilities(one.images, one.place)
            for way, each in networks.items()
        ]
        answer = np.mean(said, axis=0).argmax()
        right[int(by["known-hands"])] += bool(answer == one.labels[0])
    metrics = json.loads((reproduced / "metrics/sample/characters-ensemble.json").read_text())
    assert metrics["correct"] == right
    assert (metrics["networks"], metrics["images"]) == (2, 310)


@pytest.fixture
def tester(reproduced: Path, tmp_path: Path) -> Path:
    """A folder with the shipped network and an archive called `later`, in params.yaml alone."""
    for name in ("stages", "data/sample", "data/tensors/sample/characters"):
        shutil.copytree(reproduced / name, tmp_path / name)
    (tmp_path / "artifacts/sample").mkdir(parents=True)
    for name in ("characters.pt", "characters-ensemble.pt"):
        shutil.copy(reproduced / "artifacts/sample" / name, tmp_path / "artifacts/sample")
    params = workspace.read_params(reproduced)
    params["archives"]["sample"]["later"] = params["archives"]["sample"]["characters"]
    params["test_archives"] = ["later"]
    workspace.write_params(tmp_path, params)
    return tmp_path


def test_an_archive_for_testing_is_measured_as_predict_answers_it(tester: Path) -> None:
    run(tester, "python", "-m", "stages.data.download", "sample", "later")
    run(tester, "python", "-m", "stages.characters.evaluate", "sample", "later")
    archive = "data/sample/trainPart1.zip"
    known = ("--hand-from", r"(\d+)\.png$")
    for name, shipped, flags in (
        ("later", "characters", ()),
        ("later-same-hand", "characters", known),
        ("later-ensemble", "characters-ensemble", ()),
        ("later-ensemble-same-hand", "characters-ensemble", known),
    ):
        path = f"artifacts/sample/{shipped}.pt"
        out = run(tester, "python", "-m", "handwriting.classifier", path, archive, *flags).stdout
        right = sum(
            alphabet.CHARACTERS[alphabet.CHARACTER_FOLDERS[row["path"].split("/")[-2]]]
            == row["label"]
            for row in csv.DictReader(out.splitlines())
        )
        metrics = json.loads((tester / f"metrics/sample/{name}.json").read_text())
        assert metrics["correct"] == [right]
        assert metrics["images"] == 310
        assert metrics["images_learnt_from"] == 310  # it is the archive that was trained on


def test_naming_an_archive_for_testing_adds_its_stages_and_no_other(
    reproduced: Path, tester: Path
) -> None:
    shutil.copy(reproduced / "dvc.yaml", tester)
    workspace.run(tester, "git", "init", "--quiet")
    workspace.run(tester, "dvc", "init", "--quiet")
    more = set(run(tester, "dvc", "stage", "list", "--name-only").stdout.split())
    usual = set(run(reproduced, "dvc", "stage", "list", "--name-only").stdout.split())
    assert more - usual == {"download-test@sample-later", "evaluate-test@sample-later"}
