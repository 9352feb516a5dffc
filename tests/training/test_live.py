"""The learning curves of a training that goes on, as DVC and its editors find them."""

import json
from pathlib import Path

from handwriting.training import live
from handwriting.training.live import Point
from tests.workspace import run

CURVE = [Point(0, 0, 2.5, 0.1), Point(3, 96, 0.25, 0.875)]


def test_dvc_shows_a_growing_curve_without_being_told_of_it(tmp_dir: Path) -> None:
    run(tmp_dir, "git", "init", "--quiet")
    run(tmp_dir, "dvc", "init", "--quiet")
    folder = Path("live/finetune-sample-random/full-all-0")
    live.show(CURVE[:1], folder)
    live.show(CURVE, folder)
    shown = json.loads(run(tmp_dir, "dvc", "metrics", "show", "--json").stdout)
    metrics = shown[""]["data"][str(folder / "metrics.json")]["data"]
    assert metrics == {"step": 3, "images_seen": 96, "loss": 0.25, "accuracy": 0.875}
    plot = run(tmp_dir, "dvc", "plots", "show", "--json").stdout
    assert f"{folder}/plots/metrics/accuracy.tsv" in plot


def test_its_files_are_those_of_dvclive(tmp_dir: Path) -> None:
    live.show(CURVE, tmp_dir / "one")
    written = {str(path.relative_to("one")) for path in Path("one").rglob("*") if path.is_file()}
    plots = {"plots/metrics/accuracy.tsv", "plots/metrics/loss.tsv"}
    assert written == plots | {"metrics.json", "dvc.yaml"}
    assert (
        Path("one/plots/metrics/accuracy.tsv").read_text() == "step\taccuracy\n0\t0.1\n3\t0.875\n"
    )
