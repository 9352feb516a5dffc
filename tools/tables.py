"""`python -m tools.tables`: put the metrics of the real archives into README.md and docs/.

What stands between a line `<!-- name -->` and the next `<!-- end -->` is generated, from metrics/
or bench/results/.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from handwriting.core import files
from handwriting.core.errors import InputError
from handwriting.reporting.results import Results
from tools import program, result_tables, study_tables
from tools.markdown import accuracy, cells, points, table

SOURCE = "real"
REASONS = Path("stages/ablation/reasons.json")


def choices(results: Results) -> str:
    """Return the ablation, with the study of full trainings beside it.

    Its first row is what the others are compared with.
    """
    rows = Results(f"ablation/{results.source}").table("choices").set_index("choice")
    numbers = rows.select_dtypes("number").astype(float)
    frame = pd.DataFrame(files.read_json(REASONS)).T.join(numbers)
    columns = {"changed": list(frame["change"]), **measured(frame)}
    columns["adapted %"] = cells("{:.2f}", 100 * frame["adapted"])
    columns["in full (95%)"] = study_tables.in_full(frame["change"])
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


Block = Callable[[Results], str]


def sourced(blocks: dict[str, Block]) -> dict[str, Block]:
    """Return blocks whose tables say below what source they are of."""

    def with_source(block: Block, results: Results) -> str:
        return f"{block(results)}\nSource: `{results.source}`.\n"

    return {name: partial(with_source, block) for name, block in blocks.items()}


METHOD: dict[str, Block] = {
    "choices": choices,
    "learning-rate": learning_rate,
    "tta": tta,
    "diagnosis": diagnosis,
    **study_tables.METHOD,
}
PAGES: dict[str, dict[str, Block]] = {
    "README.md": result_tables.README,
    "docs/results.md": sourced(result_tables.RESULTS),
    "docs/quickstart.md": study_tables.QUICKSTART,
    "docs/method.md": sourced(METHOD),
    "docs/scale.md": sourced(study_tables.SCALE),
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
