"""The ablation of question one's choices: its parts, and all of it with real DVC."""

from dataclasses import fields, replace
from operator import mul, truediv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from handwriting.characters.protocols import Architecture, Characters
from handwriting.core.errors import InputError
from handwriting.training import model
from handwriting.training.checkpoint import Run
from handwriting.training.model import Network
from handwriting.training.runs import Job
from stages.ablation import choices, recipe, table
from stages.ablation.choices import Choice, Framing
from tests import networks, pictures, workspace
from tests.test_sources import ran
from tests.workspace import run

PICTURE = pictures.letter().resize((1200, 900))  # of the size of the archive's
INK, LETTER = 255 - np.asarray(PICTURE), pictures.encoded(PICTURE)
GIVEN = {each.name: getattr(networks.SHAPE, each.name) for each in fields(Architecture)}
MODEL, AUGMENTATION = Architecture(**GIVEN), networks.ALL_AUGMENTATIONS
SETTINGS = Characters(model=MODEL, training={"batch_size": 8}, augmentation=AUGMENTATION)
SHAPE = replace(networks.SHAPE, geometry_channels=3)
PIXELS = torch.randint(0, 256, (8, 1, 28, 28), generator=torch.Generator().manual_seed(0)).byte()
GEOMETRY = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
WRITERS = [str(i // 5) for i in range(100)]


def extent(image: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Height, width, top and left of the ink."""
    rows, columns = (np.flatnonzero(image.max(axis=axis) >= 64) for axis in (1, 0))
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    return int(height), int(width), int(rows[0]), int(columns[0])


def framed(crop: Any, size: int, ink_size: int) -> NDArray[np.uint8]:
    return choices.framed("a.png", LETTER, Framing(crop=crop, image_size=size, ink_size=ink_size))


def test_cut_to_its_ink_a_character_keeps_its_aspect_and_stretched_it_does_not() -> None:
    height, width, _, _ = extent(framed("ink", 44, 36))
    assert height == 36
    assert width == pytest.approx(36 * extent(INK)[1] / extent(INK)[0], abs=1)
    assert extent(framed("stretched", 36, 28)) == (28, 28, 4, 4)


def test_on_its_canvas_a_character_keeps_its_size_and_position() -> None:
    image = framed("canvas", 64, 60)
    height, width, top, left = extent(INK)
    expected = np.array([height, width, top + 150, left]) / 20 + [0, 0, 2, 2]
    assert np.abs(np.asarray(extent(image)) - expected).max() <= 1
    assert image.max() == 255


def test_ink_larger_than_the_square_is_an_error() -> None:
    with pytest.raises(InputError, match="ink_size 40 > image_size 36"):
        choices.framed_all(Path("none.tar"), [], Framing(crop="ink", image_size=36, ink_size=40))


def test_a_hidden_geometry_feature_is_equal_for_all_images_and_the_others_are_kept() -> None:
    geometry = np.random.default_rng(0).uniform(0.1, 0.9, (50, 4)).astype(np.float32)
    size, aspect, position = (choices.hide(geometry, [n]) for n in ("size", "aspect", "position"))
    assert (choices.hide(geometry, []) == geometry).all()
    for measure, hidden, kept in ((mul, size, aspect), (truediv, aspect, size)):
        assert np.ptp(measure(hidden[:, 0], hidden[:, 1])) < 1e-5
        expected = measure(geometry[:, 0], geometry[:, 1])
        assert np.allclose(measure(kept[:, 0], kept[:, 1]), expected, rtol=1e-5)
        assert (hidden[:, 2:] == geometry[:, 2:]).all()
    assert np.ptp(position[:, 2:], axis=0).max() == 0
    assert np.allclose(position[:, :2], geometry[:, :2], rtol=1e-5)


def test_a_choice_changes_what_it_names_and_nothing_else() -> None:
    assert Choice().changed(SETTINGS, "recipe") == SETTINGS
    changed = Choice(
        model={"widths": [4, 8]}, training={"label_smoothing": 0}, augmentation={"mixup": 0}
    ).changed(SETTINGS, "several")
    assert changed.model == replace(MODEL, widths=(4, 8))
    assert changed.training == {"batch_size": 8, "label_smoothing": 0}
    assert changed.augmentation == replace(AUGMENTATION, mixup=0)


@pytest.mark.parametrize("changes", [{"mixupp": 0}, {"stroke": 2}])
def test_a_change_is_checked_as_params_yaml_is(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"ablation: wrong: augmentation\.(mixupp|stroke): "):
        Choice(augmentation=changes).changed(SETTINGS, "wrong")


def shake(network: Network, seed: int) -> None:
    """Move the weights as a step of training does, and see a batch."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    network.train()(PIXELS, GEOMETRY)


@pytest.mark.parametrize("decay", [0.0, 0.8])
def test_the_moving_average_is_of_all_states_and_leaves_the_training_alone(decay: float) -> None:
    plain, followed = (model.fresh(SHAPE, "a test", 0) for _ in range(2))
    choices.averaging(followed, decay)
    names = ("head.weight", "body.0.weight", "geometry.weight", "head.bias")
    expected = {name: plain.state_dict()[name].clone() for name in names}
    for seed in range(5):
        shake(plain, seed)
        shake(followed, seed)
        for name in names:
            expected[name].lerp_(plain.state_dict()[name], 1 - decay)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, followed.state_dict()[name])
    resumed = choices.averaging(model.fresh(SHAPE, "a test", 1), decay)
    resumed.load_state_dict(followed.state_dict())
    average, again = (choices.averaged(each, decay) for each in (followed, resumed))
    for name in names:
        expected[name].lerp_(plain.state_dict()[name], 1 - decay)
        assert torch.allclose(average.state_dict()[name], expected[name], atol=1e-5)
    assert torch.equal(average(PIXELS, GEOMETRY), again(PIXELS, GEOMETRY))


def predicted(correct: int, images: int = 100, **about: Any) -> pd.DataFrame:
    """Predictions for images in two folds, of which the first are correct."""
    classes = ["1"] * correct + ["2"] * (images - correct)
    columns = {"row": range(images), "fold": np.arange(images) % 2, "actual": "1"}
    return pd.DataFrame({**about, **columns, "predicted": classes, "loss": 1.0})


def both_contexts(name: str, correct: int, images: int = 100) -> pd.DataFrame:
    contexts = ("single", correct), ("adapted", images)
    return pd.concat([predicted(n, images, choice=name, context=each) for each, n in contexts])


def test_a_choice_of_lower_accuracy_has_a_negative_difference() -> None:
    frame = pd.concat([both_contexts("recipe", 80), both_contexts("less", 60)])
    reasons = {name: {"change": name, "why": "w", "source": "s"} for name in ("recipe", "less")}
    base, less = table.compared_choices(frame, reasons, WRITERS)
    assert base["difference"] == base["low"] == base["high"] == 0
    assert less["difference"] == pytest.approx(-0.2)
    assert less["low"] < -0.2 < less["high"] < 0
    assert (less["folds"], less["images"], less["adapted"], less["why"]) == (2, 100, 1, "w")


@pytest.mark.parametrize(
    ("others", "problem"),
    [
        ([("recipe", 100), ("other", 90)], "other held-out images"),
        ([("recipe", 100), ("other", 100), ("other", 100)], "other held-out images"),
        ([("other", 100)], "no predictions of recipe"),
        ([("recipe", 100), ("new", 100)], "no reason: new"),
    ],
)
def test_what_cannot_be_compared_is_an_error(others: list[tuple[str, int]], problem: str) -> None:
    reasons = {name: {"change": "", "why": "", "source": ""} for name in ("recipe", "other")}
    frame = pd.concat([both_contexts(name, 10, images) for name, images in others])
    with pytest.raises(InputError, match=problem):
        list(table.compared_choices(frame, reasons, WRITERS))


def test_views_and_networks_are_compared_with_one_of_each() -> None:
    about = {"protocol": "both", "context": "single"}
    frame = pd.concat(predicted(n).assign(networks=1, views=v) for v, n in ((1, 50), (7, 55)))
    more = predicted(60).assign(networks=2, views=1)
    rows = table.compared_views(pd.concat([frame, more]).assign(**about), WRITERS)
    assert [round(row["difference"], 2) for row in rows] == [0, 0.05, 0.1]


def test_the_views_are_the_image_and_two_of_each_kind() -> None:
    images = torch.zeros(2, 1, 36, 36)
    images[:, :, 8:28, 16:20] = 255  # an upright bar
    seen = list(recipe.views(images.byte(), recipe.Views(rotation=5, scale=0.06, shear=0.06)))
    assert len(seen) == 7
    assert torch.equal(seen[0], images.byte())
    assert torch.allclose(seen[1].flip(3), seen[2], atol=0.1)  # rotated to either side
    small, large = sorted(each.sum().item() for each in seen[3:5])
    assert small < images.sum() < large
    assert len(list(recipe.views(images.byte(), recipe.Views(rotation=5, scale=0, shear=0)))) == 3


def test_in_a_range_test_one_learning_rate_grows_and_the_others_stay() -> None:
    test = recipe.RangeTest(low=0.01, high=1, steps=3)
    job = Job(Run(data="a test"), model.fresh(networks.SHAPE, "a test", 0), networks.PLAN)
    plan = recipe.sweep(job, "head", test, networks.split(100)).plan
    assert (plan.recorded, plan.strict) == (3, False)
    for step, rate in enumerate((0.01, 0.1, 1), 1):
        factors = plan.schedule(0.1, step, 3)
        assert factors.head * plan.recipe.head_lr == pytest.approx(rate)
        assert factors.muon == factors.bias == 1


def test_the_losses_of_a_range_test_end_where_one_is_not_finite() -> None:
    test = recipe.RangeTest(low=0.1, high=10, steps=3)
    losses = recipe.losses(test, [torch.tensor([4.0, torch.nan, 3.0]), torch.tensor([4.0, 3, 5])])
    assert losses.learning_rate.tolist() == pytest.approx([0.1, 1, 10])
    assert losses.muon_lr.notna().tolist() == [True, False, False]
    assert losses.muon_lr_smoothed.notna().tolist() == [True, False, False]
    assert losses.head_lr.tolist() == [4, 3, 5]
    assert losses.head_lr_smoothed.tolist() == pytest.approx([4, 6.6 / 1.9, 10.94 / 2.71])


TABLE = "stages/ablation/dvc.yaml:ablation-table@sample"
CHOICES = "stages/ablation/dvc.yaml:ablation@sample"


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of a small cut in which a small ablation has run."""
    folder = tmp_path_factory.mktemp("ablation") / "clone"
    folder.mkdir()
    workspace.copy_project(folder)
    workspace.make_small(folder)
    content = workspace.read_params(folder)
    content["ablation"] |= {
        "choices": {
            "crop": content["ablation"]["choices"]["crop"],
            "recipe": {},
            "average": {"average": 0.95},
        },
        "learning_rate": {"low": 0.01, "high": 10, "steps": 4},
    }
    content["sample"]["ablation"] = {"schedule": {"epochs": 1, "folds": 2}, "ensemble": 1}
    workspace.write_params(folder, content)
    run(folder, "dvc", "repro", TABLE)
    return folder


@pytest.mark.slow
def test_the_ablation_runs_and_repeats_itself(studied: Path) -> None:
    rows = pd.read_csv(studied / "metrics/ablation/sample/choices.csv", index_col="choice")
    assert list(rows.index) == ["recipe", "crop", "average"]
    predicted = table.read(studied / "artifacts/sample/ablation/choices.csv")
    single = predicted.query("context == 'single'").copy()
    single["correct"] = single.actual == single.predicted
    for name, each in single.groupby("choice"):
        assert each.row.is_unique
        assert len(each) == rows.images[name]
        assert each.correct.mean() == pytest.approx(rows.accuracy[name], abs=1e-5)
    views = pd.read_csv(studied / "metrics/ablation/sample/tta.csv")
    combinations = set(zip(views.protocol, views.networks, views.views, strict=True))
    assert {("ensemble", 2, 7), ("both", 2, 7), ("unseen-writers", 1, 7)} <= combinations
    assert len(pd.read_csv(studied / "metrics/ablation/sample/learning_rate.csv")) == 4
    before = workspace.locks(studied)
    assert ran(studied, "repro", TABLE) == []
    assert ran(studied, "repro", "-f", "-s", CHOICES) == [CHOICES]
    assert workspace.locks(studied) == before
