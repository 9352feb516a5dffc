"""The study of question one's choices: its parts, and the whole of it with real DVC."""

import csv
import json
import shutil
from operator import mul, truediv
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from handwriting.characters import protocols as reader
from handwriting.core.errors import InputError
from handwriting.evaluation.gallery import at_strength
from handwriting.training.augmentation import Augmentation
from stages.ablation import framing as frame
from stages.ablation import gallery, tabulate
from stages.ablation import learning_rate as rates
from stages.ablation import train as ablate
from stages.ablation import tta as views
from tests import pictures, workspace
from tests.workspace import run

PICTURE = pictures.letter().resize((1200, 900))  # of the size of the archive's
INK, LETTER = 255 - np.asarray(PICTURE), pictures.encoded(PICTURE)
ALL_ON = Augmentation(
    rotation=10,
    scale=0.12,
    shear=0.12,
    shift=1.44,
    aspect=0.1,
    elastic=0.05,
    stroke=0.4,
    place=0.15,
    mixup=0.3,
)


def extent(image: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Height, width, top and left of the ink."""
    rows, columns = (np.flatnonzero(image.max(axis=axis) >= 64) for axis in (1, 0))
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    return int(height), int(width), int(rows[0]), int(columns[0])


def test_cut_to_its_ink_a_character_fills_the_box_and_keeps_its_aspect() -> None:
    image = frame.framed("a.png", LETTER, frame.Framing(crop="ink", size=44, box=36))
    height, width, _, _ = extent(image)
    assert image.shape == (44, 44)
    assert height == 36
    assert width == pytest.approx(36 * extent(INK)[1] / extent(INK)[0], abs=1)


def test_stretched_a_character_fills_the_box_both_ways() -> None:
    image = frame.framed("a.png", LETTER, frame.Framing(crop="stretched", size=36, box=28))
    assert extent(image) == (28, 28, 4, 4)


def test_on_its_canvas_a_character_is_where_and_as_large_as_it_was() -> None:
    image = frame.framed("a.png", LETTER, frame.Framing(crop="canvas", size=64, box=60))
    found = np.asarray(extent(image))
    height, width, top, left = extent(INK)
    expected = np.array([height, width, top + 150, left]) / 20 + [0, 0, 2, 2]
    assert np.abs(found - expected).max() <= 1
    assert image.max() == 255


def test_what_is_hidden_of_size_and_place_is_alike_for_all_and_the_rest_is_told() -> None:
    place = np.random.default_rng(0).uniform(0.1, 0.9, (50, 4)).astype(np.float32)
    height, width = place[:, 0], place[:, 1]
    told = {name: ablate.hide(place, [name]) for name in ("size", "aspect", "position")}
    assert (ablate.hide(place, []) == place).all()
    sizes, ratios = ({n: f(p[:, 0], p[:, 1]) for n, p in told.items()} for f in (mul, truediv))
    assert np.ptp(sizes["size"]) < 1e-6
    assert np.ptp(ratios["aspect"]) < 1e-5
    assert np.ptp(told["position"][:, 2:], axis=0).max() == 0
    assert np.allclose(ratios["size"], height / width, rtol=1e-5)
    assert np.allclose(sizes["aspect"], height * width, rtol=1e-5)
    assert np.allclose(told["position"][:, :2], place[:, :2], rtol=1e-5)
    assert all((told[name][:, 2:] == place[:, 2:]).all() for name in ("size", "aspect"))


def test_a_change_of_the_recipe_is_checked_as_params_yaml_is() -> None:
    assert ablate.changed(ALL_ON, {"mixup": 0}, "mixup").mixup == 0
    with pytest.raises(InputError, match=r"ablation: typo: .*"):
        ablate.changed(ALL_ON, {"mixupp": 0}, "typo")
    with pytest.raises(InputError, match="stroke"):
        ablate.changed(ALL_ON, {"stroke": 2}, "much")


def test_a_change_of_the_network_is_of_what_the_recipe_says_and_of_no_more() -> None:
    recipe = reader.Architecture(
        margin=2,
        widths=(8, 16),
        stem_stride=2,
        pooled=(1,),
        grid=1,
        place=8,
        temperature=0.67,
    )
    narrow = ablate.changed(recipe, {"widths": [4, 8]}, "width")
    assert narrow.widths == (4, 8)
    assert ablate.changed(narrow, {"widths": [8, 16]}, "width") == recipe


def table(right: list[bool]) -> tabulate.Answers:
    rows = list(range(len(right)))
    fold = np.arange(len(right)) % 2
    return tabulate.Answers(rows, fold, np.array(right), 0.5, 1.0)


def test_a_choice_that_answers_less_has_a_negative_difference() -> None:
    every = {"recipe": table([True] * 80 + [False] * 20), "less": table([True] * 60 + [False] * 40)}
    about = {name: {"change": name, "why": "w", "source": "s"} for name in every}
    base, less = (
        dict(zip(tabulate._COLUMNS, row, strict=True))
        for row in tabulate.compare(every, about, [str(i // 5) for i in range(100)])
    )
    assert base["difference"] == base["low"] == base["high"] == 0
    assert less["difference"] == pytest.approx(-0.2)
    assert less["low"] < -0.2 < less["high"] < 0
    assert (less["folds"], less["images"], less["why"]) == (2, 100, "w")


def test_answers_of_other_images_are_not_compared() -> None:
    every = {"recipe": table([True] * 10), "other": table([True] * 12)}
    about = {name: {"change": "", "why": "", "source": ""} for name in every}
    with pytest.raises(InputError, match="other held-out images"):
        list(tabulate.compare(every, about, ["a", "b"] * 5))


def test_a_rate_whose_loss_is_no_number_any_more_ends_there_and_the_other_goes_on() -> None:
    first = [rates.Step(0.1, 4.0, 4.0)]
    second = [rates.Step(0.1, 4.0, 4.0), rates.Step(1.0, 3.0, 3.5)]
    assert list(rates.rows([first, second])) == [
        [1, 0.1, -1.0, 4.0, 4.0, 4.0, 4.0],
        [2, 1.0, 0.0, "", 3.0, "", 3.5],
    ]


def test_the_views_are_the_image_and_two_of_each_kind() -> None:
    images = torch.zeros(2, 1, 36, 36)
    images[:, :, 8:28, 16:20] = 255  # an upright bar
    strength = views.Views(rotation=5, scale=0.06, shear=0.06)
    seen = list(views.views(images.byte(), strength))
    assert len(seen) == 7
    assert torch.equal(seen[0], images.byte())
    assert torch.allclose(seen[1].flip(3), seen[2], atol=0.1)  # turned to either side
    small, large = sorted(each.sum().item() for each in seen[3:5])
    assert small < images.sum() < large
    assert len(list(views.views(images.byte(), views.Views(rotation=5, scale=0, shear=0)))) == 3


def test_a_gallery_has_a_row_for_each_augmentation_that_is_on_and_can_be_seen() -> None:
    images = torch.zeros(16, 1, 36, 36, dtype=torch.uint8)
    images[:, :, 8:28, 16:20] = 255
    rows = dict(at_strength(images, ALL_ON))
    shown = ["rotation 10", "scale 0.12", "shear 0.12", "shift 1.44", "aspect 0.1"]
    more = ["elastic 0.05", "stroke 0.4", "mixup 0.3", "all, drawn", "drawn again"]
    assert list(rows) == ["as framed", *shown, *more]
    for name in [*shown, "elastic 0.05", "stroke 0.4"]:
        assert not torch.equal(rows[name][0], images[0].float()), name
    turned = rows["rotation 10"]
    assert torch.allclose(turned[0].flip(2), turned[-1], atol=0.1)  # from one end to the other
    assert gallery.sheet(list(rows.items())).size[1] == 36 * 2 * len(rows)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of a small cut in which a small study has run, and what it asks for before."""
    folder = tmp_path_factory.mktemp("study") / "clone"
    folder.mkdir()
    workspace.copy_project(folder)
    workspace.make_small(folder)
    run(folder, "dvc", "repro", "preprocess-characters", "crossvalidate")
    content = workspace.read_params(folder)
    study = content["ablation"]
    study["choices"] = {name: study["choices"][name] for name in ("recipe", "average")}
    study["framings"] = {"crop": study["framings"]["crop"]}
    study["budget"]["sample"] = {"epochs": 1, "folds": 2}
    study["rates"] = {"low": 0.01, "high": 10, "steps": 4}
    workspace.write_params(folder, content)
    reasons = json.loads((folder / "ablation/reasons.json").read_text())
    kept = {name: reasons[name] for name in ("recipe", "average", "crop")}
    (folder / "ablation/reasons.json").write_text(json.dumps(kept))
    run(folder, "dvc", "--cd", "ablation", "repro")
    return folder


@pytest.mark.slow
def test_the_study_runs_and_tells_each_choice_its_difference(studied: Path) -> None:
    with (studied / "metrics/sample/ablation.csv").open() as file:
        rows = {row["choice"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["recipe", "average", "crop"]
    for name, row in rows.items():
        with (studied / f"ablation/artifacts/sample/choices/{name}.csv").open() as file:
            said = list(csv.DictReader(file))
        right = sum(each["actual"] == each["predicted"] for each in said)
        assert float(row["accuracy"]) == pytest.approx(right / len(said), abs=1e-5)
        assert len({each["row"] for each in said}) == len(said) == int(row["images"])
    apart = float(rows["crop"]["accuracy"]) - float(rows["recipe"]["accuracy"])
    assert float(rows["crop"]["difference"]) == pytest.approx(apart, abs=2e-5)
    with (studied / "metrics/sample/views.csv").open() as file:
        measured = [(r["way"], r["networks"], r["views"]) for r in csv.DictReader(file)]
    assert ("members", "2", "7") in measured
    assert ("both", "2", "7") in measured
    assert ("new-hands", "1", "7") in measured


@pytest.mark.slow
def test_the_pipeline_above_knows_nothing_of_the_study(studied: Path) -> None:
    words = ("ablat", "frame@", "tabulate", "rates", "gallery", "members", "views")
    for command in (
        "stage list --name-only",
        "status",
        "metrics show",
        "dag",  # all stages: most have not run, so that a dry run of all ends in DVC's error
        "repro --dry crossvalidate",
    ):
        said = run(studied, "dvc", *command.split()).stdout
        assert said
        assert not any(word in said for word in words), command


@pytest.mark.slow
def test_what_the_study_writes_is_the_same_the_next_time_and_nothing_runs_again(
    studied: Path,
) -> None:
    assert "Running stage" not in run(studied, "dvc", "--cd", "ablation", "repro").stdout
    assert "up to date" in run(studied, "dvc", "--cd", "ablation", "status").stdout
    before = (studied / "ablation/dvc.lock").read_bytes()
    run(studied, "dvc", "--cd", "ablation", "repro", "--force", "-s", "ablate@sample-average")
    assert (studied / "ablation/dvc.lock").read_bytes() == before


@pytest.mark.slow
def test_a_new_row_trains_itself_and_nothing_else(studied: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    shutil.copytree(studied, folder, symlinks=True)
    content = workspace.read_params(folder)
    content["ablation"]["choices"]["mixup"] = {"augmentation": {"mixup": 0}}
    workspace.write_params(folder, content)
    reasons = json.loads((folder / "ablation/reasons.json").read_text())
    reasons["mixup"] = {"change": "no mixup", "why": "why", "source": "source"}
    (folder / "ablation/reasons.json").write_text(json.dumps(reasons))
    said = run(folder, "dvc", "--cd", "ablation", "repro").stdout
    ran = [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]
    assert ran == ["ablate@sample-mixup", "tabulate@sample"]


@pytest.mark.slow
def test_a_choice_that_is_none_is_one_clear_line(studied: Path) -> None:
    words = ("python", "-m", "stages.ablation.train", "sample", "choices", "moon")
    done = run(studied, *words, check=False)
    assert done.returncode != 0
    assert done.stderr == "ablate: params.yaml: the key ablation.choices.moon is missing\n"
