"""Question two's figures, recomputed in plain Python from the committed tables; its statistics."""

import csv
import json
import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from handwriting.core.errors import InputError
from handwriting.data import budget
from handwriting.evaluation import convergence, significance, similarity, study
from handwriting.reporting import mnist as question_two
from handwriting.reporting import page
from handwriting.training import model
from handwriting.training.live import Point
from tests import workspace

# The 97.5% quantile of Student's t for n - 1 degrees of freedom, from a printed table.
T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
SOURCES = sorted(path.parent.parent for path in workspace.ROOT.glob("metrics/*/transfer/runs.csv"))


@pytest.fixture(params=SOURCES, ids=lambda path: path.name)
def metrics(request: pytest.FixtureRequest) -> Path:
    """The committed metrics of a source."""
    return Path(request.param)


def table(metrics: Path, name: str) -> list[dict[str, str]]:
    with (metrics / f"transfer/{name}.csv").open() as file:
        return list(csv.DictReader(file))


def accuracies(metrics: Path) -> dict[tuple[str, str, str], list[float]]:
    """The test accuracies of each start, way and budget, by seed."""
    arms: dict[tuple[str, str, str], dict[int, float]] = {}
    for run in table(metrics, "runs"):
        arm = arms.setdefault((run["start"], run["way"], run["budget"]), {})
        arm[int(run["seed"])] = float(run["accuracy"])
    return {key: [value for _, value in sorted(arm.items())] for key, arm in arms.items()}


def half_width(values: list[float]) -> float:
    return T[len(values)] * stdev(values) / math.sqrt(len(values))


def test_both_sources_are_committed() -> None:
    assert [path.name for path in SOURCES] == ["dropbox", "sample"]


def test_the_means_and_intervals_are_those_of_the_runs(metrics: Path) -> None:
    values: dict[tuple[str, ...], list[float]] = {}
    for run in table(metrics, "runs"):
        for measure in list(run)[list(run).index("accuracy") :]:
            key = (run["start"], run["way"], run["budget"], measure)
            values.setdefault(key, []).append(float(run[measure]))
    rows = table(metrics, "measures")
    assert len(rows) == len(values)
    for row in rows:
        of_arm = values[row["start"], row["way"], row["budget"], row["measure"]]
        assert int(row["n"]) == len(of_arm)
        assert float(row["mean"]) == pytest.approx(fmean(of_arm), abs=2e-5)
        for name, sign in (("low", -1), ("high", 1)):
            expected = fmean(of_arm) + sign * half_width(of_arm)
            slack = 5e-5 + 3e-4 * half_width(of_arm)  # digits of the tables
            assert float(row[name]) == pytest.approx(expected, abs=slack)


def test_the_means_by_the_number_of_labels_are_those_of_the_runs(metrics: Path) -> None:
    arms = accuracies(metrics)
    images = {run["budget"]: int(run["train_images"]) for run in table(metrics, "runs")}
    budgets = {count: budget for budget, count in images.items()}
    rows = table(metrics, "labels")
    assert rows
    for row in rows:
        for start in ("random", "digits", "characters"):
            expected = fmean(arms[start, "full", budgets[int(row["images"])]])
            assert float(row[start]) == pytest.approx(expected, abs=2e-5)


def test_the_paired_differences_are_those_of_the_runs(metrics: Path) -> None:
    arms = accuracies(metrics)
    for row in table(metrics, "comparisons"):
        one = arms[row["start"], row["way"], row["budget"]]
        other = arms[row["against"], row["against_way"], row["budget"]]
        differences = [a - b for a, b in zip(one, other, strict=False)]  # of seeds that both have
        assert int(row["n"]) == len(differences)
        mean = fmean(differences)
        assert float(row["difference"]) == pytest.approx(mean, abs=2e-5)
        assert float(row["low"]) == pytest.approx(mean - half_width(differences), abs=5e-5)
        assert float(row["high"]) == pytest.approx(mean + half_width(differences), abs=5e-5)
        if len({round(each, 9) for each in differences}) == 1:  # no spread, so no test
            assert float(row["p"]) == 1
            continue
        n, margin = len(differences), float(row["margin"])
        error = stdev(differences) / math.sqrt(n)
        assert float(row["effect"]) == pytest.approx(mean / stdev(differences), rel=1e-3)
        assert float(row["p"]) == pytest.approx(2 * beyond(abs(mean / error), n), abs=2e-4)
        within = max(beyond((mean + margin) / error, n), beyond((margin - mean) / error, n))
        assert float(row["equivalence_p"]) == pytest.approx(within, abs=2e-4)


def test_the_intervals_over_test_images_are_those_of_the_counts(metrics: Path) -> None:
    place = study.Pair._fields
    counted: dict[tuple[str, ...], dict[int, int]] = {}
    for row in table(metrics, "images"):
        of_pair = counted.setdefault(tuple(row[name] for name in place), {})
        of_pair[int(row["more_seeds_right"])] = int(row["images"])
    rows = table(metrics, "comparisons")
    assert len(rows) == len(counted)
    for row in rows:
        counts, n = counted[tuple(row[name] for name in place)], int(row["n"])
        images = sum(counts.values())
        mean = sum(more * count for more, count in counts.items()) / n / images
        assert float(row["difference"]) == pytest.approx(mean, abs=1e-5)
        square = sum(count * (more / n - mean) ** 2 for more, count in counts.items())
        reach = 1.959964 * math.sqrt(square / (images - 1) / images)
        assert float(row["images_low"]) == pytest.approx(mean - reach, abs=1e-5)
        assert float(row["images_high"]) == pytest.approx(mean + reach, abs=1e-5)


def beyond(value: float, n: int) -> float:
    """The share of Student's t of n - 1 degrees of freedom that lies above a value (Simpson)."""
    freedom = n - 1
    scale = math.gamma((freedom + 1) / 2) / math.sqrt(freedom * math.pi) / math.gamma(freedom / 2)
    steps, end = 20_000, math.atan(abs(value) / math.sqrt(freedom))
    # With x = sqrt(freedom) tan(a) the density is a power of the cosine, on a finite stretch.
    heights = [math.cos(i * end / steps) ** (freedom - 1) for i in range(steps + 1)]
    area = heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2])
    inside = scale * math.sqrt(freedom) * area * end / steps / 3
    return 0.5 - math.copysign(inside, value)


def test_corrected_p_and_verdicts_follow_from_the_p(metrics: Path) -> None:
    rows = table(metrics, "comparisons")
    families: dict[tuple[bool, bool], list[dict[str, str]]] = {}
    for row in rows:  # the primary ones, question three's, all others
        place = row["primary"] == "1", row["way"] == "corrected"
        families.setdefault(place, []).append(row)
    assert len(families) == 3
    for family in families.values():
        for name in ("p", "equivalence_p"):
            expected = step_up([float(row[name]) for row in family])
            found = [float(row[f"{name}_corrected"]) for row in family]
            assert found == pytest.approx(expected, rel=1e-4)
    for row in rows:
        verdict = "equivalent" if float(row["equivalence_p_corrected"]) < 0.05 else "undecided"
        if float(row["p_corrected"]) < 0.05:
            verdict = "helps" if float(row["difference"]) > 0 else "hurts"
        assert row["verdict"] == verdict


def step_up(p: list[float]) -> list[float]:
    """Benjamini and Yekutieli's adjusted p."""
    harmonic = len(p) * sum(1 / i for i in range(1, len(p) + 1))
    least, adjusted = 1.0, dict.fromkeys(range(len(p)), 1.0)
    for rank, i in sorted(enumerate(sorted(range(len(p)), key=p.__getitem__), 1), reverse=True):
        least = min(least, p[i] * harmonic / rank)
        adjusted[i] = least
    return list(adjusted.values())


def test_the_headline_is_the_primary_comparisons(metrics: Path) -> None:
    summary = json.loads((metrics / "transfer.json").read_text())
    primary = {row["budget"]: row for row in table(metrics, "comparisons") if row["primary"] == "1"}
    assert set(summary) - {"answer"} == set(primary)
    arms = accuracies(metrics)
    for size, row in primary.items():
        said = summary[size]
        assert said["verdict"] == row["verdict"]
        assert said["seeds"] == int(row["n"])
        assert said["within_margin"] == (float(row["equivalence_p_corrected"]) < 0.05)
        for name in ("difference", "low", "high", "p_corrected", "margin"):
            assert said[name] == pytest.approx(float(row[name]), abs=2e-5), name
        for start in ("random", "digits", "characters"):
            assert said[start] == pytest.approx(fmean(arms[start, "full", size]), abs=2e-5)
        assert f"{100 * float(row['difference']):+.2f} points" in summary["answer"]


def test_a_curve_is_of_as_many_images_as_it_says_and_so_many_decide_a_threshold(
    metrics: Path,
) -> None:
    key = ("start", "way", "budget", "seed")
    judged = {
        tuple(run[name] for name in key): int(run["judged"]) for run in table(metrics, "runs")
    }
    for point in table(metrics, "curves"):
        if point["way"] != "corrected":  # whose accuracy is an estimate
            count = float(point["accuracy"]) * judged[tuple(point[name] for name in key)]
            assert abs(count - round(count)) < 0.05
    thresholds = {
        (*(row[name] for name in key), float(row["threshold"])): row["decisive"]
        for row in table(metrics, "thresholds")
    }
    told = {run: images / (9 if run[1] == "corrected" else 1) for run, images in judged.items()}
    assert thresholds == {
        (*run, threshold): str(int(round((1 - threshold) * images, 6) >= 5))
        for run, images in told.items()
        for threshold in convergence.THRESHOLDS
    }


def test_the_images_to_a_threshold_are_those_of_the_curves(metrics: Path) -> None:
    curves: dict[tuple[str, ...], list[tuple[float, float, float]]] = {}
    key = ("start", "way", "budget", "seed")
    for row in table(metrics, "curves"):
        curve = curves.setdefault(tuple(row[name] for name in key), [])
        curve.append((float(row["step"]), float(row["images_seen"]), float(row["accuracy"])))
    seen: dict[tuple[str, ...], list[float]] = {}
    for row in table(metrics, "thresholds"):
        if row["decisive"] == "0":
            assert not row["images_seen"] + row["images_kept"]
            continue
        curve = curves[tuple(row[name] for name in key)]
        threshold = float(row["threshold"])
        above = [i for i, point in enumerate(curve) if point[-1] >= threshold]
        below = [i for i, point in enumerate(curve) if point[-1] < threshold]
        last = below[-1] if below else -1  # after which it never falls below again
        first = above[0] if above else len(curve)
        expected = {"images_seen": (first, 1), "step": (first, 0), "images_kept": (last + 1, 1)}
        for name, (i, axis) in expected.items():
            assert bool(row[name]) == (i < len(curve))
            if row[name]:
                assert abs(int(row[name]) - crossing(curve, i, axis, threshold)) <= 1
        arm = (row["start"], row["way"], row["budget"], row["threshold"])
        for name in ("step", "images_seen", "flops", "images_kept"):
            seen.setdefault((*arm, name), []).append(float(row[name] or "inf"))
    for row in table(metrics, "speed"):
        if row["decisive"] == "0":
            assert not row["reached"] + row["median_images"] + row["most_images"]
            continue
        arm = (row["start"], row["way"], row["budget"], row["threshold"])
        assert int(row["reached"]) == sum(math.isfinite(n) for n in seen[*arm, "step"])
        for column, name in (
            *(("median_steps", "step"), ("median_images", "images_seen")),
            *(("median_flops", "flops"), ("median_images_kept", "images_kept")),
        ):
            value = float(row[column] or "inf")
            assert value == pytest.approx(median(seen[*arm, name]), abs=1, rel=1e-12), column
        took = seen[*arm, "images_seen"]
        assert float(row["fewest_images"] or "inf") == min(took)
        assert float(row["most_images"] or "inf") == max(took)


def crossing(curve: list[tuple[float, float, float]], i: int, axis: int, threshold: float) -> float:
    """Where the straight line to point i of a curve comes to a threshold, along an axis."""
    if i == 0:
        return curve[0][axis]
    (*start, low), (*end, high) = curve[i - 1], curve[i]
    return start[axis] + (threshold - low) / (high - low) * (end[axis] - start[axis])


def test_the_height_of_a_curve_is_the_area_under_it(metrics: Path) -> None:
    key = ("start", "way", "budget", "seed")
    curves: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for row in table(metrics, "curves"):
        point = float(row["images_seen"]), float(row["accuracy"])
        curves.setdefault(tuple(row[name] for name in key), []).append(point)
    for run in table(metrics, "runs"):
        curve = curves[tuple(run[name] for name in key)]
        steps = pairwise(curve)
        area = sum((x - w) * (y + z) / 2 for (w, y), (x, z) in steps) / curve[-1][0]
        assert float(run["curve_area"]) == pytest.approx(area, abs=2e-5)


def test_the_errors_in_each_digit_add_up_to_those_of_the_run(metrics: Path) -> None:
    key = ("start", "way", "seed")
    errors: dict[tuple[str, ...], int] = {}
    images: dict[tuple[str, ...], int] = {}
    for row in table(metrics, "digits"):
        run = tuple(row[name] for name in key)
        errors[run] = errors.get(run, 0) + int(row["errors"])
        images[run] = images.get(run, 0) + int(row["images"])
    runs = {
        tuple(run[name] for name in key): float(run["accuracy"])
        for run in table(metrics, "runs")
        if run["budget"] == "all" and run["way"] in ("full", "corrected")
    }
    assert errors.keys() == runs.keys()
    for run, accuracy in runs.items():
        assert 1 - errors[run] / images[run] == pytest.approx(accuracy, abs=2e-5)


def test_the_mean_curves_are_the_means_of_the_curves(metrics: Path) -> None:
    points: dict[tuple[str, str], dict[int, list[float]]] = {}
    for row in table(metrics, "curves"):
        if row["budget"] == "all":
            at = points.setdefault((row["way"], row["start"]), {})
            at.setdefault(int(row["step"]), []).append(float(row["accuracy"]))
    for way, name in (("full", "mnist"), ("corrected", "mnistTask3")):
        for start in ("random", "digits", "characters"):
            mean = table(metrics, f"{name}-{start}-mean")
            found = {int(row["step"]): float(row["accuracy"]) for row in mean}
            expected = {step: fmean(values) for step, values in points[way, start].items()}
            assert found == pytest.approx(expected, abs=2e-5)


def test_the_accuracy_of_all_seeds_is_that_of_the_runs_with_its_interval(metrics: Path) -> None:
    arms, z = accuracies(metrics), 1.959964
    for way, name in (("full", "mnist"), ("corrected", "mnistTask3")):
        for start in ("random", "digits", "characters"):
            said = json.loads((metrics / f"{name}-{start}.json").read_text())
            shares = [count / said["images"] for count in said["correct"]]
            assert shares == pytest.approx(arms[start, way, "all"], abs=2e-5)
            mean, n = fmean(shares), said["images"]
            assert said["accuracy"] == pytest.approx(mean, abs=2e-5)
            assert said["accuracy_sd"] == pytest.approx(stdev(shares), abs=2e-5)
            share = round(mean * n) / n  # a whole number of images, for Wilson's interval
            middle = (share + z * z / (2 * n)) / (1 + z * z / n)
            reach = z * math.sqrt(share * (1 - share) / n + (z / 2 / n) ** 2) / (1 + z * z / n)
            assert said["accuracy_low"] == pytest.approx(middle - reach, abs=3e-5)
            assert said["accuracy_high"] == pytest.approx(middle + reach, abs=3e-5)
            runs = [
                run
                for run in table(metrics, "runs")
                if (run["start"], run["way"], run["budget"]) == (start, way, "all")
            ]
            for own, other in (("loss", "nll"), ("calibration_error", "ece")):
                assert said[own] == pytest.approx(fmean(float(r[other]) for r in runs), abs=1e-4)


@pytest.mark.parametrize(
    ("part", "by", "value"),
    [
        (question_two.digits, ("start", "digit", "images"), "errors"),
        (question_two.similarity, ("first", "second", "layer"), "cka"),
        (question_two.agreement, ("first", "second"), "share"),
    ],
)
def test_what_the_report_shows_of_pairs_of_seeds_is_the_mean_of_the_tables(
    metrics: Path,
    part: Callable[[list[dict[str, str]]], page.Chart],
    by: tuple[str, ...],
    value: str,
) -> None:
    name = {"errors": "digits", "cka": "cka", "share": "agreement"}[value]
    rows = [row for row in table(metrics, name) if row["way"] == "full"]
    groups: dict[tuple[str, ...], list[tuple[float, str, str]]] = {}
    for row in rows:
        seeds = (row["seed"],) * 2 if "seed" in row else (row["first_seed"], row["second_seed"])
        key = tuple(row[column] for column in by)
        groups.setdefault(key, []).append((float(row[value]), *seeds))
    shown = part(rows).table
    assert list(shown.columns) == [*by, "mean", "low", "high", "n"]
    found = {tuple(row[: len(by)]): [float(each) for each in row[len(by) :]] for row in shown.rows}
    assert found.keys() == groups.keys()
    for key, (mean, low, high, n) in found.items():
        of_key = groups[key]
        assert n == len(of_key)
        values = [number for number, *_ in of_key]
        assert mean == pytest.approx(fmean(values), rel=5e-4)
        if all(one == other for _, one, other in of_key):
            reach = half_width(values) if len(set(values)) > 1 else 0
        else:  # each network in several pairs: what is left without one of them, in turn
            names = {seed for _, *seeds in of_key for seed in seeds}
            left = [fmean(x for x, *seeds in of_key if name not in seeds) for name in names]
            share = (len(names) - 1) ** 2 / len(names)
            reach = T[len(names)] * math.sqrt(share) * stdev(left)
        assert [mean - low, high - mean] == pytest.approx([reach, reach], rel=2e-2, abs=2e-3 * mean)


def test_the_operations_to_a_threshold_are_those_of_its_images(metrics: Path) -> None:
    params = workspace.read_params(workspace.ROOT)
    uses, margin = params["digits"][metrics.name], params["network"]["margin"]
    for row in table(metrics, "thresholds"):
        if row["flops"]:
            whole = row["way"] == "corrected" or (row["way"], row["budget"]) == ("full", "all")
            strength = params["strengths"][uses["full" if whole else "usual"]["strength"]]
            each = operations(strength, margin, row["way"] == "probe")
            assert int(row["flops"]) == each * int(row["images_seen"])


def operations(strength: dict[str, Any], margin: int, frozen: bool) -> int:
    """Of a network's convolutions and head for one image, forward and backward."""
    side, channels, total = 28 - 2 * margin, 1, 0
    for i, width in enumerate(strength["widths"]):
        side = math.ceil(side / (strength["stem_stride"] if i == 0 else 1))
        forward = 2 * (25 if i == 0 else 9) * channels * width * side * side
        total += forward * (1 if frozen else 2 if i == 0 else 3)
        side, channels = side // 2 if i in strength["pooled"] else side, width
    parts: int = strength["grid"] ** 2
    return total + 2 * channels * parts * 10 * (2 if frozen else 3)


def test_networks_that_agree_on_nothing_more_than_chance_have_no_alignment() -> None:
    noise = [torch.randn(60, 3000, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    one, other = ((each @ each.T).double().fill_diagonal_(0) for each in noise)
    assert abs(similarity.cka(one, other)) < 0.1
    assert similarity.cka(one, one) == pytest.approx(1)


def test_a_primary_comparison_of_nothing_is_an_error() -> None:
    declared = study.Study(
        primary=study.Primary(start="character", against="random", way="full"), smallest={}
    )
    with pytest.raises(InputError, match=r"transfer\.primary: no comparison is of character"):
        list(study.compared([], declared))


def test_a_single_seed_is_no_comparison() -> None:
    [one] = answers(0.9)
    with pytest.raises(InputError, match="a single seed"):
        significance.compare(one[:1], one[:1], 0.01)


def answers(*rates: float) -> Iterator[np.ndarray[tuple[int, int], np.dtype[np.bool_]]]:
    """For each rate five seeds' answers to 10,000 images, that rate of them right."""
    for arm, rate in enumerate(rates):
        random = np.random.default_rng(arm)
        yield random.random((5, 10_000)) < rate


def test_a_clear_difference_helps_and_its_mirror_hurts() -> None:
    better, worse = answers(0.97, 0.93)
    [up, down] = significance.corrected(
        [significance.compare(*pair, 0.005) for pair in ((better, worse), (worse, better))]
    )
    assert (up.verdict, down.verdict) == ("helps", "hurts")
    assert up.low <= 0.04 <= up.high
    assert up.difference == -down.difference


def test_small_differences_are_equivalent_within_a_wide_margin_and_undecided_in_a_narrow() -> None:
    one, other = answers(0.95, 0.95)
    [wide, narrow] = significance.corrected(
        [significance.compare(one, other, margin) for margin in (0.02, 0.0001)]
    )
    assert (wide.verdict, narrow.verdict) == ("equivalent", "undecided")


def test_arms_that_never_differ_have_no_test_and_no_width() -> None:
    [one] = answers(0.9)
    [found] = significance.corrected([significance.compare(one, one, 0.01)])
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert found.verdict == "equivalent"


def test_a_threshold_is_reached_on_the_straight_line_between_two_points() -> None:
    curve = [Point(0, 0, 2, 0.1), Point(10, 1000, 1, 0.8), Point(20, 2000, 1, 0.96)]
    assert convergence.reached(curve, 0.88) == (15, 1500)
    assert convergence.reached(curve, 0.99) is None
    swings = [*curve, Point(30, 3000, 1, 0.76), Point(40, 4000, 1, 1.0)]
    assert convergence.reached(swings, 0.88) == (15, 1500)
    assert convergence.kept(swings, 0.88) == (35, 3500)
    assert convergence.kept(curve, 0.88) == (15, 1500)
    assert convergence.kept(swings[:4], 0.88) is None
    assert convergence.kept(curve, 0.05) == (0, 0)
    assert convergence.area(curve) == pytest.approx((0.45 + 0.88) / 2)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("strength", ["middle", "strong"])
def test_the_operations_counted_are_those_that_torch_counts(strength: str, frozen: bool) -> None:
    values = workspace.read_params(workspace.ROOT)["strengths"][strength]
    shape = model.Shape(
        classes=tuple("0123456789"),
        size=28,
        box=20,
        margin=2,
        widths=tuple(values["widths"]),
        stem_stride=values["stem_stride"],
        pooled=tuple(values["pooled"]),
        grid=values["grid"],
        place=0,
        temperature=1,
    )
    network = model.fresh(shape, 0)
    network.body.requires_grad_(not frozen)
    network.norms.requires_grad_(not frozen)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(4, 1, 28, 28)).sum().backward()
    assert convergence.flops_per_image(shape, frozen) == counter.get_total_flops() / 4


def test_a_larger_budget_holds_the_smaller_and_each_class_alike() -> None:
    labels = np.arange(500) % 10
    small, large = (budget.choose(labels, images, 3) for images in (5, 20))
    assert set(small) < set(large)
    assert np.bincount(labels[large]).tolist() == [20] * 10
    assert set(budget.choose(labels, 5, 4)) != set(small)
    with pytest.raises(InputError, match="51 images of each class are asked for"):
        budget.choose(labels, 51, 3)
