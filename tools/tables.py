"""`python -m tools.tables`: put the metrics of the real archives into README.md and docs/.

What stands between a line `<!-- name -->` and the next `<!-- end -->` is generated.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from handwriting.core import files
from handwriting.core.errors import InputError
from handwriting.reporting import characters, mnist, mnistTask3
from handwriting.reporting.networks import NETWORKS
from handwriting.reporting.page import Part
from handwriting.reporting.results import Results
from tools import program

SOURCE = "real"
REASONS = Path("stages/ablation/reasons.json")


def networks(results: Results) -> str:
    """Return the accuracy of every network."""
    measured = {name: each for name, each in NETWORKS.items() if results.has(name)}
    frame = pd.DataFrame([results.json(name) for name in measured])
    columns = {
        "network": [f"`{name}`" for name in measured],
        "question": [f"{each.question}: {each.what}" for each in measured.values()],
        "accuracy % ± sd": accuracy(frame),
        "95% interval": interval(frame, "{:.2f} to {:.2f}"),
        "up to confusable classes %": cells("{:.2f}", 100 * frame["folded"]),
        "runs": cells("{:.0f}", frame["runs"]),
        "images": cells("{:,.0f}", frame["images"]),
    }
    return table(columns)


def answers(results: Results) -> str:
    """Return the three answers, as the report gives them."""
    sections = {"one": characters, "two": mnist, "three": mnistTask3}
    parts = [Part(name, module.numbers(results)) for name, module in sections.items()]
    return "".join(f"{i}. {part.text}\n" for i, part in enumerate(parts, 1))


def labels(results: Results) -> str:
    """Return the primary comparison of question two, at each number of labels."""
    answer = results.json("transfer/answer")
    frame = pd.DataFrame({name: answer[name] for name in answer if name != "answer"}).T
    columns = {
        "labels per class": list(frame.index),
        **{f"{init} %": cells("{:.2f}", 100 * frame[init]) for init in mnist.INITS},
        "characters - random, points (95% interval)": points(frame),
        "pairs of seeds": cells("{}", frame["seeds"]),
        "corrected p": cells("{:.2g}", frame["p_corrected"]),
        "smallest effect of interest": cells("{:g}", 100 * frame["margin"]),
        "verdict": list(frame["verdict"]),
    }
    return table(columns)


def speed(results: Results) -> str:
    """Return how many training images it takes to reach an accuracy, with all labels."""
    frame = mnist.with_all_labels(results.table("transfer/speed")).dropna(subset=["median_images"])
    names = ("median_images", "fewest_images", "most_images", "median_images_kept")
    images = {name.replace("_", " "): cells("{:,}", frame[name], "never") for name in names}
    validation = cells("{:g}", 100 * frame["threshold"])
    return table({"validation accuracy %": validation, "init": list(frame["init"]), **images})


def choices(results: Results) -> str:
    """Return the ablation; its first row is what the others are compared with."""
    rows = Results(f"ablation/{results.source}").table("choices").set_index("choice")
    numbers = rows.select_dtypes("number").astype(float)
    frame = pd.DataFrame(files.read_json(REASONS)).T.join(numbers)
    columns = {"changed": list(frame["change"]), **measured(frame)}
    columns["adapted %"] = cells("{:.2f}", 100 * frame["adapted"])
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
    path = Path(f"bench/results/diagnosis-{results.source}.json")
    rows = pd.json_normalize(files.read_json(path)["cases"], sep=" ")
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


def table(columns: dict[str, list[str]]) -> str:
    """Return columns as a table in Markdown."""
    rows = [list(columns), ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def cells(form: str, values: Iterable[Any], missing: str = "") -> list[str]:
    """Return values as text."""
    return [missing if pd.isna(value) else form.format(value) for value in values]


def accuracy(frame: pd.DataFrame) -> list[str]:
    """Return accuracies with their standard deviations, in percent."""
    rows = (100 * frame[["accuracy", "sd"]]).values
    return ["not run yet" if pd.isna(each) else f"{each:.2f} ± {sd:.2f}" for each, sd in rows]


def interval(frame: pd.DataFrame, form: str) -> list[str]:
    """Return the columns low and high in percent; nothing where they are equal or missing."""
    rows = 100 * frame[["low", "high"]].values
    return [form.format(low, high) if low < high else "" for low, high in rows]


def points(frame: pd.DataFrame) -> list[str]:
    """Return differences with their intervals, in percentage points."""
    bounds = interval(frame, "({:+.2f} to {:+.2f})")
    both = zip(100 * frame["difference"], bounds, strict=True)
    return [f"{difference:+.2f} {bound}" if bound else "" for difference, bound in both]


Block = Callable[[Results], str]
PAGES: dict[str, dict[str, Block]] = {
    "README.md": {"networks": networks, "answers": answers, "labels": labels, "speed": speed},
    "docs/design-choices.md": {
        "choices": choices,
        "learning-rate": learning_rate,
        "tta": tta,
        "diagnosis": diagnosis,
    },
}


def filled(text: str, blocks: dict[str, Block], results: Results) -> str:
    """Return a page with its blocks filled. Raises InputError for a page that lacks one."""
    for name, block in blocks.items():
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not start or not end:
            raise InputError(f"the page has no <!-- {name} --> with an <!-- end --> after it")
        text = f"{before}{start}\n{block(results)}\n{end}{after}"
    return text


def main() -> None:
    """Fill the blocks of every page."""
    for page, blocks in PAGES.items():
        content = filled(Path(page).read_text(encoding="utf-8"), blocks, Results(SOURCE))
        Path(page).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    program.run(main)
