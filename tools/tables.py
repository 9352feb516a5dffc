"""`python -m tools.tables`: put the metrics of the real archives into README.md and docs/.

What stands between a line `<!-- name -->` and the next `<!-- end -->` is generated, from metrics/
or bench/results/.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from handwriting.core import files
from handwriting.core.errors import InputError
from handwriting.reporting.results import Results
from tools import program, result_tables
from tools.markdown import accuracy, cells, points, table

SOURCE = "real"
REASONS = Path("stages/ablation/reasons.json")
BENCH = Path("bench/results")


def choices(results: Results) -> str:
    """Return the ablation, with the study of full trainings beside it.

    Its first row is what the others are compared with.
    """
    rows = Results(f"ablation/{results.source}").table("choices").set_index("choice")
    numbers = rows.select_dtypes("number").astype(float)
    frame = pd.DataFrame(files.read_json(REASONS)).T.join(numbers)
    columns = {"changed": list(frame["change"]), **measured(frame)}
    columns["adapted %"] = cells("{:.2f}", 100 * frame["adapted"])
    full = pd.read_csv(BENCH / "studies/full_length.csv", dtype=str).set_index("changed")
    columns["in full: difference (95%)"] = [
        "{} ({} to {})".format(*full.loc[each, ["difference, points", "low", "high"]])
        if each in full.index[1:]
        else ""
        for each in frame["change"]
    ]
    return table(columns | {"why": list(frame["why"]), "from": list(frame["source"])})


def tta(results: Results) -> str:
    """Return what views and ensembles add."""
    frame = Results(f"ablation/{results.source}").table("tta")
    names = ("protocol", "context", "networks", "views")
    return table({name: cells("{}", frame[name]) for name in names} | measured(frame))


def measured(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Return the columns that both tables of the ablation have."""
    return {
        "accuracy % ± sd": accuracy(frame),
        "difference (95%)": points(frame),
        "its sd": cells("{:.2f}", 100 * frame["difference_sd"]),
        "loss": cells("{:.3f}", frame["loss"]),
    }


def learning_rate(results: Results) -> str:
    """Return the loss at some of the range test's learning rates."""
    frame = Results(f"ablation/{results.source}").table("learning_rate")[::12]
    names = {"muon_lr_smoothed": "muon_lr", "head_lr_smoothed": "head_lr"}
    losses = {f"loss by {names[each]}": cells("{:.2f}", frame[each], "none") for each in names}
    return table({"learning rate": cells("{:.3g}", frame["learning_rate"]), **losses})


def diagnosis(results: Results) -> str:
    """Return how faulty labels are examined, beside cleanlab: the means over the seeds."""
    path = BENCH / f"diagnosis-{results.source}.json"
    rows = pd.json_normalize(files.read_json(path)["cases"], sep=" ")
    rows = rows[rows["images"] == rows["images"].min()]  # more images make no other picture
    groups = rows.groupby(["images", "fault"], sort=False)
    means, counts = groups.mean(numeric_only=True), groups.size()
    right = groups["named_correctly"].sum().astype(int)
    columns = {
        "images": [f"{images:,}" for images, _ in counts.index],
        "fault": [fault for _, fault in counts.index],
        "named": [f"{a} of {b}" for a, b in zip(right, counts, strict=True)],
        "matrix error": cells("{:.4f}", means["matrix_error"]),
    }
    for what, name in {"auroc": "AUROC", "suggestions": "right suggestions %"}.items():
        scale, form = (1, "{:.4f}") if what == "auroc" else (100, "{:.1f}")
        for who in ("ours", "cleanlab"):
            columns[f"{name}, {who}"] = cells(form, scale * means[f"{who} {what}"].astype(float))
    for who in ("given", "cleanlab", "ours"):
        shares = 100 * means[f"accuracy {who}"].astype(float)
        columns[f"test %, {who}"] = cells("{:.2f}", shares)
    return table(columns)


def summary(results: Results) -> str:
    """Return what the main choices are worth, in points of accuracy."""
    ablation = Results(f"ablation/{results.source}").table("choices").set_index("choice")
    without = {
        "crop": "cut the image to its ink",
        "geometry": "give the network the size and position of the ink",
        "width": "twice the channels",
    }
    rows = [("1", what, -100 * ablation["difference"][name]) for name, what in without.items()]
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
    return table({"question": questions, "choice": choices, "points": cells("{:+.2f}", worth)})


def study(name: str, _: Results) -> str:
    """Return a study that no stage makes: its file as it is."""
    frame = pd.read_csv(BENCH / f"studies/{name}.csv", dtype=str, keep_default_na=False)
    return table({column: [*map(grouped, frame[column])] for column in frame})


def grouped(text: str) -> str:
    """Return a text with separators in its large whole numbers."""
    return re.sub(r"(?<![\d.])\d{4,}", lambda found: f"{int(found[0]):,}", text)


def scale(_: Results) -> str:
    """Return what the stages cost by the number of images."""
    costs = files.read_json(BENCH / "scale.json")["costs"]
    stages = ("unzip", "preprocess", "finetune", "diagnose-labels")
    columns = {"images": [f"{each['images']:,} {each['kind']}" for each in costs]}
    form = "{wall_seconds:,.1f} s, {cpu_seconds:,.1f} CPU s, {peak_memory_mb:,} MB"
    for name in stages:
        columns[name] = [form.format(**each[name]) if name in each else "" for each in costs]
    disk = "{raw:,} + {images:,} + {tensors:,} MB"
    columns["disk: raw + tar + tensors"] = [disk.format(**each["disk_mb"]) for each in costs]
    return table(columns)


def exponents(_: Results) -> str:
    """Return how the wall seconds of the stages grow: images to this power."""
    frame = pd.DataFrame(files.read_json(BENCH / "scale.json")["exponents"])
    rows = zip(frame["images"], frame["kind"], strict=True)
    columns = {"up to images": [f"{images:,} {kind}" for images, kind in rows]}
    for name in frame.columns.drop(["images", "kind"]):
        columns[str(name)] = cells("{:.2f}", frame[name])
    return table(columns)


def passes(_: Results) -> str:
    """Return the CPU seconds of a training by its images, in proportion to those measured."""
    summaries = [files.read_json(BENCH / f"training{each}.json") for each in ("", "-large")]
    measured = {size: each for found in summaries for size, each in found["summary"].items()}
    images = summaries[0]["about"]["train_images"]
    columns = {"training images": [f"{images * 10**power:,}" for power in range(4)]}
    for size in ("small", "medium", "large"):
        seconds = [measured[size]["cpu_seconds"] * 10**power for power in range(4)]
        columns[f"`{size}`, CPU seconds"] = cells("{:,.0f}", seconds)
    return table(columns)


def bench(_: Results) -> str:
    """Return what the project costs beside what people copy."""
    training, large, gpu, data, predict = (
        files.read_json(BENCH / f"{name}.json")
        for name in ("training", "training-large", "training-gpu", "preprocess", "predict-real")
    )
    sizes = {**training["summary"], "large": large["summary"]["large"]}
    rows = []
    for name in ("small", "medium", "large"):
        found = sizes[name]
        about = f"MNIST, `{name}`: {found['accuracy']:.2%}, {found['seeds']} seeds"
        theirs = sizes["example"]["cpu_seconds_to_0.99"] if name == "small" else None
        rows.append((about, "CPU seconds", found["cpu_seconds"], theirs))
    small = gpu["summary"]["small"]
    about = f"the first on an NVIDIA H200: {small['accuracy']:.2%}, {small['seeds']} seeds"
    rows.append((about, "wall seconds", small["wall_seconds"], None))
    for name, what in {"characters": "trainPart1", "mnistTask3": "mnistTask3"}.items():
        ours = data["results"][name]["archive_to_tensors_cpu_seconds_on_one_core"]
        theirs = data["results"][name]["runs"]["loop"]["cpu_seconds"]
        rows.append((f"{what}, archive to tensors", "CPU seconds", ours, theirs))
    both = predict["images_per_cpu_second"]["both"]
    rows.append(("trainPart1, file to label", "images a CPU second", both, None))
    what, unit, us, them = map(list, zip(*rows, strict=True))
    columns = {"what": what, "unit": unit, "ours": cells("{:,.1f}", us)}
    return table(columns | {"what people copy": cells("{:,.1f}", them)})


Block = Callable[[Results], str]


def studies(*names: str) -> dict[str, Block]:
    """Return the blocks of studies."""
    return {name: partial(study, name) for name in names}


PAGES: dict[str, dict[str, Block]] = {
    "README.md": result_tables.README,
    "docs/results.md": result_tables.RESULTS,
    "docs/quickstart.md": studies("costs"),
    "docs/method.md": {
        "summary": summary,
        "choices": choices,
        "learning-rate": learning_rate,
        "tta": tta,
        "context": result_tables.context,
        "diagnosis": diagnosis,
        **studies("smoothing", "temperature", "writer_model", "writer_scale", "mistakes"),
        **studies("own_pictures", "crops", "crop_groups"),
        **studies("learning_rates", "pseudo_labels", "self_training", "mnistTask3_runs"),
        **studies("not_worth_it", "transfer_runs", "split_seeds"),
    },
    "docs/scale.md": {
        "bench": bench,
        "scale": scale,
        "exponents": exponents,
        "passes": passes,
        **studies("processors", "gpu"),
    },
}


def filled(text: str, blocks: dict[str, Block], results: Results) -> str:
    """Return a page with its blocks filled. Raises InputError for a page that lacks one."""
    for name, block in blocks.items():
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not start or not end:
            raise InputError(f"the page has no <!-- {name} --> with an <!-- end --> after it")
        text = f"{before}{start}{block(results)}{end}{after}"
    return text


def main() -> None:
    """Fill the blocks of every page."""
    for page, blocks in PAGES.items():
        content = filled(Path(page).read_text(encoding="utf-8"), blocks, Results(SOURCE))
        Path(page).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    program.run(main)
