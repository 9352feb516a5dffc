"""The comparison of inits, recomputed in plain Python from the committed tables of both sources."""

import json
import math
import re
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, t

from handwriting.evaluation import convergence
from handwriting.evaluation.study import ARM, COSTS, INITS, PAIR, RUN
from handwriting.training import model
from tests import networks, workspace

Z = 1.959964
HIGHEST = {"accuracy": 1, "ece": 1, "curve_area": 1, "gap": 1, "brier": 2, "distance": 2}


@pytest.fixture(params=["real/mnistTask3", "real/transfer", "sample/mnistTask3", "sample/transfer"])
def folder(request: pytest.FixtureRequest) -> Path:
    """The committed tables of a study: question two's, or the same of question three."""
    return workspace.ROOT / "metrics" / str(request.param)


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv", dtype={"labels": str})


def rows(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.to_dict("records")


def accuracies(folder: Path) -> dict[tuple[str, ...], list[float]]:
    """The test accuracies of each arm, by seed."""
    runs = table(folder, "runs").sort_values("seed")
    return {tuple(map(str, arm)): each["accuracy"].tolist() for arm, each in runs.groupby(ARM)}


def half_width(values: list[float]) -> float:
    return float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))


def close(value: float) -> Any:
    return pytest.approx(value, abs=2e-5)


def test_the_means_and_intervals_are_those_of_the_runs(folder: Path) -> None:
    runs, measures = table(folder, "runs").set_index(ARM).sort_index(), table(folder, "measures")
    names = runs.loc[:, "accuracy":].columns
    assert len(measures) == len(names) * len(accuracies(folder))
    for row in rows(measures):
        values = runs.loc[tuple(row[name] for name in ARM), row["measure"]].tolist()
        mean, reach = fmean(values), half_width(values)
        assert (row["n"], row["mean"]) == (len(values), close(mean))
        low, high = -1 if row["measure"] == "gap" else 0, HIGHEST.get(row["measure"], math.inf)
        bounds = [max(low, mean - reach), min(high, mean + reach)]
        slack = 5e-5 + 3e-4 * reach  # digits of the tables
        assert [row["low"], row["high"]] == pytest.approx(bounds, abs=slack)


def test_the_paired_differences_are_those_of_the_runs_and_of_the_images(folder: Path) -> None:
    arms, images = accuracies(folder), table(folder, "images").set_index(PAIR).sort_index()
    for row in rows(table(folder, "comparisons")):
        one = arms[row["init"], row["method"], row["labels"]]
        other = arms[row["against"], row["against_method"], row["labels"]]
        differences = [a - b for a, b in zip(one, other, strict=False)]  # of common seeds
        n, mean, reach = len(differences), fmean(differences), half_width(differences)
        assert (row["n"], row["difference"]) == (n, close(mean))
        bounds = [max(-1, mean - reach), min(1, mean + reach)]
        assert [row["low"], row["high"]] == pytest.approx(bounds, abs=5e-5)
        counted = images.loc[tuple(row[name] for name in PAIR)]
        each = np.repeat(counted["more_seeds_correct"].to_numpy() / n, counted["images"])
        assert mean == close(each.mean())
        reach = Z * each.std(ddof=1) / math.sqrt(len(each))
        assert [row["images_low"], row["images_high"]] == [close(mean - reach), close(mean + reach)]
        if len({round(each, 9) for each in differences}) == 1:  # no spread, so no test
            assert row["p"] == 1
            continue
        error, margin = stdev(differences) / math.sqrt(n), row["margin"]
        assert row["effect"] == pytest.approx(mean / stdev(differences), rel=1e-3)
        assert row["p"] == pytest.approx(2 * t.sf(abs(mean / error), n - 1), abs=2e-4)
        within = t.sf((margin - abs(mean)) / error, n - 1)
        assert row["equivalence_p"] == pytest.approx(within, abs=2e-4)


def test_corrected_p_and_verdicts_follow_from_the_p(folder: Path) -> None:
    frame = table(folder, "comparisons")
    for _, family in frame.groupby("primary"):
        for name in ("p", "equivalence_p"):
            expected = step_up(family[name].tolist())
            assert family[f"{name}_corrected"].tolist() == pytest.approx(expected, rel=1e-4)
    for row in rows(frame):
        within = row["equivalence_p_corrected"] < 0.05
        verdict = "equivalent" if within else "undecided"
        if row["p_corrected"] < 0.05:
            verdict = "helps" if row["difference"] > 0 else "hurts"
        assert (row["verdict"], row["within_margin"]) == (verdict, within)
        [points] = re.findall(r"\(([+-]\d+\.\d\d) points\)", row["sentence"])
        rounded = 0.005 + 0.0005  # the sentence once, to two digits; the table to five of a share
        assert float(points) == pytest.approx(100 * row["difference"], abs=rounded)


def step_up(p: list[float]) -> list[float]:
    """Benjamini and Yekutieli's adjusted p."""
    harmonic = len(p) * sum(1 / i for i in range(1, len(p) + 1))
    ranked = pd.Series(p).sort_values()
    ranked *= harmonic / np.arange(1, len(p) + 1)
    return ranked[::-1].cummin().clip(upper=1).sort_index().tolist()


@pytest.mark.parametrize("source", ["real", "sample"])
def test_the_answer_and_the_means_by_labels_are_those_of_the_runs(source: str) -> None:
    folder = workspace.ROOT / "metrics" / source / "transfer"
    answer, arms = json.loads((folder / "answer.json").read_text()), accuracies(folder)
    primary = table(folder, "comparisons").query("primary == 1")
    assert set(answer) == {"answer", *primary["labels"]}
    assert list(answer)[-1] == "all"
    counts = table(folder, "runs").query("method == 'full'").set_index("labels")["train_images"]
    by_labels = table(folder, "labels").set_index("images")
    assert len(by_labels) == len(primary)
    for row in rows(primary):
        found = answer[row["labels"]]
        means = {init: close(fmean(arms[init, "full", row["labels"]])) for init in INITS}
        assert (found["verdict"], found["seeds"]) == (row["verdict"], row["n"])
        for name in ("difference", "low", "high", "p_corrected", "margin", "within_margin"):
            assert found[name] == close(row[name]), name
        assert {init: found[init] for init in INITS} == means
        assert dict(by_labels.loc[counts[[row["labels"]]].iloc[0], [*INITS]]) == means
        assert f"({100 * row['difference']:+.2f} points)" in answer["answer"]


def test_curves_are_of_whole_images_and_their_area_is_that_of_the_runs(folder: Path) -> None:
    curves = table(folder, "curves").groupby(RUN)
    for run in rows(table(folder, "runs")):
        curve = curves.get_group(tuple(run[name] for name in RUN))
        seen, accuracy = curve["images_seen"], curve["accuracy"]
        middles = (accuracy + accuracy.shift()) / 2
        assert run["curve_area"] == close((seen.diff() * middles).sum() / seen.iloc[-1])
        if run["method"] != "forward_correction":  # whose accuracy is an estimate
            correct = accuracy * run["curve_images"]
            assert (correct - correct.round()).abs().max() < 0.05


def test_thresholds_are_reached_where_the_curves_do(folder: Path) -> None:
    curves, runs = table(folder, "curves").groupby(RUN), table(folder, "runs").set_index(RUN)
    found = table(folder, "thresholds")
    assert len(found) == len(runs) * len(convergence.THRESHOLDS)
    for row in rows(found):
        run, threshold = tuple(row[name] for name in RUN), row["threshold"]
        visible = runs.loc[run, "curve_images"] / (9 if run[1] == "forward_correction" else 1)
        assert row["decisive"] == (round((1 - threshold) * visible, 6) >= 5)
        if not row["decisive"]:
            assert all(pd.isna(row[name]) for name in COSTS)
            continue
        curve = curves.get_group(run)[["step", "images_seen", "accuracy"]].to_numpy(float)
        below = curve[:, 2] < threshold
        first = min([*np.flatnonzero(~below), len(curve)])
        last = max([-1, *np.flatnonzero(below)]) + 1
        for name, i, axis in (
            ("step", first, 0),
            ("images_seen", first, 1),
            ("images_kept", last, 1),
        ):
            assert pd.notna(row[name]) == (i < len(curve))
            if i < len(curve):  # on the straight line to this point
                line = curve[max(0, i - 1) : i + 1]
                assert abs(row[name] - np.interp(threshold, line[:, 2], line[:, axis])) <= 1


def test_speed_is_the_median_of_the_runs(folder: Path) -> None:
    found = table(folder, "thresholds").fillna(dict.fromkeys(COSTS, math.inf))
    of_arm = found.groupby([*ARM, "threshold"])
    for row in rows(table(folder, "speed").fillna(math.inf)):
        each = of_arm.get_group(tuple(row[name] for name in (*ARM, "threshold")))
        seen = each["images_seen"]
        assert row["n"] == len(each)
        assert not row["decisive"] or row["reached"] == np.isfinite(each["step"]).sum()
        for column, name in zip(("steps", "images", "flops", "images_kept"), COSTS, strict=True):
            assert row[f"median_{column}"] == pytest.approx(median(each[name]), abs=1, rel=1e-12)
        assert (row["fewest_images"], row["most_images"]) == (seen.min(), seen.max())


def test_the_errors_in_each_digit_add_up_to_those_of_the_run(folder: Path) -> None:
    key = ["init", "method", "seed"]
    sums = table(folder, "digits").groupby(key)[["errors", "images"]].sum()
    whole = "labels == 'all' and method in ['full', 'forward_correction']"
    accuracy = table(folder, "runs").query(whole).set_index(key)["accuracy"].to_dict()
    found = (1 - sums["errors"] / sums["images"]).to_dict()
    assert found == pytest.approx(accuracy, abs=2e-5)


def test_the_operations_to_a_threshold_are_those_of_its_images(folder: Path) -> None:
    params = workspace.read_params(workspace.ROOT)
    source, border = params[folder.parent.name], params["pretrain"]["crop_border"]
    for row in rows(table(folder, "thresholds").dropna(subset="flops")):
        method, labels = row["method"], row["labels"]
        whole = method == "forward_correction" or (method, labels) == ("full", "all")
        size = params["model_sizes"][source["full_data" if whole else "digits"]["model_size"]]
        shape = model.Shape.of({**asdict(networks.SHAPE), "crop_border": border, **size})
        each = convergence.flops_per_image(shape, method == "linear_probe")
        assert row["flops"] == each * row["images_seen"]


def test_the_metrics_and_mean_curve_of_a_network_are_those_of_its_runs(folder: Path) -> None:
    data, curves, method = {
        "transfer": ("mnist", "mnist/curves", "full"),
        "mnistTask3": ("mnistTask3", "mnistTask3/curves_mean", "forward_correction"),
    }[folder.name]
    of_method = f"method == '{method}' and labels == 'all'"
    runs, means = table(folder, "runs").query(of_method), table(folder.parent, curves)
    points = table(folder, "curves").query(of_method).groupby(["init", "step"])
    for init in INITS:
        found = json.loads((folder.parent / f"{data}-{init}.json").read_text())
        of_init, n = runs[runs["init"] == init], found["images"]
        mean = fmean(of_init["accuracy"])
        assert (found["runs"], found["accuracy"]) == (len(of_init), close(mean))
        assert found["sd"] == close(stdev(of_init["accuracy"]))
        bounds = binomtest(round(mean * n), n).proportion_ci(method="wilson")
        assert (found["low"], found["high"]) == pytest.approx(bounds, abs=3e-5)
        losses = [found["loss"], found["ece"]]
        assert losses == pytest.approx(of_init[["nll", "ece"]].mean().tolist(), abs=1e-4)
        for row in rows(means[means["init"] == init]):
            accuracy = points.get_group((init, row["step"]))["accuracy"]
            assert row["accuracy"] == close(fmean(accuracy))
