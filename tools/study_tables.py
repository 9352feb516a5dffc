"""The generated blocks of docs/, apart from the results: what choices are worth, and what it costs.

They come from metrics/ and bench/results/. A study that no stage makes is a CSV file of
bench/results/studies/.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from handwriting.core import files
from handwriting.reporting.results import Results
from tools.markdown import cells, table

BENCH = Path("bench/results")
SIZES = ("small", "medium", "large")


def summary(results: Results) -> str:
    """Return what the main choices are worth, in points of accuracy."""
    ablation = Results(f"ablation/{results.source}").table("choices").set_index("choice")
    taken_away = {
        "crop": "cut the image to its ink",
        "geometry": "give the network the size and position of the ink",
        "width": "twice the channels",
    }
    rows = [("1", what, -100 * ablation["difference"][name]) for name, what in taken_away.items()]
    pairs = {
        ("1", "adapt to the writer's other images"): ("characters-adapted", "characters"),
        ("1", "two networks"): ("characters-ensemble", "characters"),
        ("1", "two networks, adapted"): ("characters-ensemble-adapted", "characters-adapted"),
        ("2", "start from characters, all labels"): ("mnist-characters", "mnist-random"),
        ("3", "predict the least likely class"): ("mnistTask3-naive-argmin", "mnistTask3-naive"),
        ("3", "forward correction, self-training"): ("mnistTask3-random", "mnistTask3-naive"),
        ("3", "the same, from characters"): ("mnistTask3-characters", "mnistTask3-random"),
    }
    for (question, what), names in pairs.items():
        one, other = (results.json(name)["accuracy"] for name in names)
        rows.append((question, what, 100 * (one - other)))
    questions, choices, worth = map(list, zip(*rows, strict=True))
    return table({"question": questions, "choice": choices, "points": cells("{:+z.2f}", worth)})


def mistakes(results: Results) -> str:
    """Return how many images are misclassified, by what they are taken for."""
    rows = results.table("characters/confusion").query("actual != predicted")
    kinds = [mistake(one, other) for one, other in rows[["actual", "predicted"]].values]
    counts = rows["images"].groupby(kinds).sum()
    adapted, both = (results.json(f"characters{n}-adapted") for n in ("", "-ensemble"))
    wrong = {
        f"misclassified, of {adapted['images']:,}": counts.sum(),
        "between the cases of one letter": counts["case"],
        "among 0, O and o, or among 1, I and l": counts["shape"],
        "all others": counts["others"],
        "misclassified with the writer's other images": missed(adapted),
        "misclassified so by two networks": missed(both),
    }
    return table({"images": list(wrong), "count": cells("{:,}", wrong.values())})


def mistake(one: str, other: str) -> str:
    """Return what kind of a pair two classes are."""
    if one.lower() == other.lower():
        return "case"
    return "shape" if {one, other} <= {*"0Oo"} or {one, other} <= {*"1Il"} else "others"


def missed(measured: dict[str, Any]) -> int:
    """Return the number of images that a network misclassifies."""
    count: int = round((1 - measured["accuracy"]) * measured["images"])
    return count


def study(name: str, _: Results) -> str:
    """Return a study that no stage makes: its file as it is."""
    frame = pd.read_csv(BENCH / f"studies/{name}.csv", dtype=str, keep_default_na=False)
    return table({str(column): [*map(grouped, frame[column])] for column in frame})


def grouped(text: str) -> str:
    """Return a text with separators in its large whole numbers."""
    return re.sub(r"(?<![\d.])\d{4,}", lambda found: f"{int(found[0]):,}", text)


def in_full(changes: pd.Series) -> list[str]:
    """Return the differences of the study of full trainings, by what was changed."""
    frame = pd.read_csv(BENCH / "studies/full_length.csv", dtype=str).set_index("changed").dropna()
    form = "{} ({} to {})".format
    columns = ["difference, points", "low", "high"]
    return [form(*frame.loc[each, columns]) if each in frame.index else "" for each in changes]


def scale(_: Results) -> str:
    """Return what the stages cost by the number of images."""
    costs = files.read_json(BENCH / "scale.json")["costs"]
    columns = {"images": [f"{each['images']:,} {each['kind']}" for each in costs]}
    form = "{wall_seconds:,.1f} s, {cpu_seconds:,.1f} CPU s, {peak_memory_mb:,} MB"
    for name in ("unzip", "preprocess", "finetune", "diagnose-labels"):
        columns[name] = [form.format(**each[name]) if name in each else "" for each in costs]
    disk = "{raw:,} + {images:,} + {tensors:,} MB"
    columns["disk: raw + tar + tensors"] = [disk.format(**each["disk_mb"]) for each in costs]
    return table(columns)


def exponents(_: Results) -> str:
    """Return how the wall seconds of the stages grow: images to this power."""
    names = ["kind", "images", "unzip", "preprocess", "finetune", "diagnose-labels"]
    frame = pd.DataFrame(files.read_json(BENCH / "scale.json")["exponents"], columns=names)
    rows = zip(frame["images"], frame["kind"], strict=True)
    columns = {"up to images": [f"{images:,} {kind}" for images, kind in rows]}
    for name in frame.columns.drop(["images", "kind"]):
        columns[str(name)] = cells("{:.2f}", frame[name])
    return table(columns)


def on_ray(_: Results) -> str:
    """Return what a Ray cluster of two nodes costs beside the processes of one machine."""
    found = files.read_json(BENCH / "cluster.json")
    trainings, slots = f"{found['trainings']} trainings", found["slots"]
    rows = [
        (f"{trainings}, processes of one machine", "CPU seconds", found["pool"]["cpu_seconds"]),
        (f"{trainings}, Ray on the same two cores", "CPU seconds", found["ray"]["cpu_seconds"]),
        ("the second over the first", "ratio", found["cpu_against_pool"]),
        (f"{slots['slots']} slots that work", "share", slots["busy"]["with_workers"]),
    ]
    what, unit, value = map(list, zip(*rows, strict=True))
    return table({"what": what, "unit": unit, "value": cells("{:,.4g}", value)})


def trained() -> dict[str, dict[str, Any]]:
    """Return what trainings cost by model size, and PyTorch's example."""
    summaries = [files.read_json(BENCH / f"training{each}.json") for each in ("", "-large")]
    return {name: each for found in summaries for name, each in found["summary"].items()}


def passes(_: Results) -> str:
    """Return the CPU seconds of a training by its images, in proportion to those measured."""
    measured, images = trained(), files.read_json(BENCH / "training.json")["about"]["train_images"]
    columns = {"training images": [f"{images * 10**power:,}" for power in range(4)]}
    for size in SIZES:
        seconds = [measured[size]["cpu_seconds"] * 10**power for power in range(4)]
        columns[f"`{size}`, CPU seconds"] = cells("{:,.0f}", seconds)
    return table(columns)


def bench(_: Results) -> str:
    """Return what the project costs beside what people copy."""
    measured, data = trained(), files.read_json(BENCH / "preprocess.json")["results"]
    gpu = files.read_json(BENCH / "training-gpu.json")["summary"]["small"]
    form = "MNIST, {}: {accuracy:.2%}, {seeds} seeds".format
    rows: list[tuple[str, str, float, float | None]] = []
    for size in SIZES:
        copied = measured["example"].get("cpu_seconds_to_0.99") if size == "small" else None
        about = form(f"`{size}`", **measured[size])
        rows.append((about, "CPU seconds", measured[size]["cpu_seconds"], copied))
    on_gpu = form("`small` on an NVIDIA H200", **gpu)
    rows.append((on_gpu, "wall seconds", gpu["wall_seconds"], None))
    for name, what in {"characters": "trainPart1", "mnistTask3": "mnistTask3"}.items():
        ours = data[name]["archive_to_tensors_cpu_seconds_on_one_core"]
        copied = data[name]["runs"]["loop"]["cpu_seconds"]
        rows.append((f"{what}, archive to tensors", "CPU seconds", ours, copied))
    speed = files.read_json(BENCH / "predict-real.json")["images_per_cpu_second"]["both"]
    rows.append(("trainPart1, file to label", "images a CPU second", speed, None))
    columns = {"what": [row[0] for row in rows], "unit": [row[1] for row in rows]}
    columns["ours"] = cells("{:,.1f}", [row[2] for row in rows])
    return table(columns | {"what people copy": cells("{:,.1f}", [row[3] for row in rows])})


def studies(*names: str) -> dict[str, Callable[[Results], str]]:
    """Return the blocks of studies."""
    return {name: partial(study, name) for name in names}


QUICKSTART = studies("costs")
METHOD = {
    "summary": summary,
    **studies("own_pictures", "smoothing", "temperature", "learning_rates", "writer_model"),
    "mistakes": mistakes,
    **studies("writer_types", "writer_scale", "crops", "crop_groups", "self_training"),
    **studies("pseudo_labels", "mnistTask3_runs", "not_worth_it"),
    **studies("split_seeds", "transfer_runs", "mnist_seeds"),
}
SCALE = {
    **{"bench": bench, "scale": scale, "exponents": exponents, "passes": passes, "on-ray": on_ray},
    **studies("processors", "gpu"),
}
