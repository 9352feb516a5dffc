"""Compare the choices of question one with the recipe, and views and ensembles with one network.

reads   artifacts/<source>/ablation/, stages/ablation/reasons.json,
        data/tensors/<source>/characters/writers.csv
writes  metrics/ablation/<source>/{choices,tta}.csv
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from handwriting.core import cli, files
from handwriting.core.errors import InputError
from handwriting.data import dataset
from handwriting.evaluation import metrics

_RECIPE = "recipe"  # the choice with which all others are compared
_MEASURES = (
    *("accuracy", "sd", "folds", "images"),
    *("difference", "low", "high", "difference_sd", "loss"),
)
_REASONS = Path("stages/ablation/reasons.json")  # and the order of the table


def main(scratch: Path, source: str) -> None:
    folder = Path(f"artifacts/{source}/ablation")
    writers = dataset.load_writers(Path(f"data/tensors/{source}/characters/writers.csv"))
    choices = compared_choices(read(folder / "choices.csv"), files.read_json(_REASONS), writers)
    tta = compared_views(read(folder / "tta.csv"), writers)
    for name, table in (("choices", pd.DataFrame(choices)), ("tta", pd.DataFrame(tta))):
        files.write_frame(Path(f"metrics/ablation/{source}/{name}.csv"), table, scratch)
        shown = table.drop(columns=["change", "why", "source"], errors="ignore")
        print(shown.round(4).to_string(index=False))


def read(path: Path) -> pd.DataFrame:
    """Read a table of predictions."""
    return pd.read_csv(path, dtype={"actual": str, "predicted": str}, keep_default_na=False)


def compared_choices(
    predicted: pd.DataFrame, reasons: dict[str, dict[str, str]], writers: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each choice, in the order of their reasons. Raises InputError."""
    found = set(predicted.choice)
    if wrong := sorted(found - set(reasons)) or sorted({_RECIPE} - found):
        raise InputError(f"ablation: no predictions of {_RECIPE}, or no reason: {', '.join(wrong)}")
    tables = dict(list(predicted.groupby(["choice", "context"])))
    for name in filter(found.__contains__, reasons):
        single, adapted = tables[name, "single"], tables[name, "adapted"]
        about, row = reasons[name], compared(tables[_RECIPE, "single"], single, writers)
        row |= {"adapted": (adapted.actual == adapted.predicted).mean(), "loss": row.pop("loss")}
        yield {"choice": name, "change": about["change"], **row} | about


def compared_views(predicted: pd.DataFrame, writers: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a row for each protocol, context, number of networks and number of views."""
    for (protocol, context), tables in predicted.groupby(["protocol", "context"], sort=False):
        by_number = dict(list(tables.groupby(["networks", "views"])))
        for (networks, views), table in by_number.items():
            about = {"protocol": protocol, "context": context, "networks": networks, "views": views}
            yield about | compared(by_number[1, 1], table, writers)


def compared(base: pd.DataFrame, table: pd.DataFrame, writers: Sequence[str]) -> dict[str, Any]:
    """Return the accuracy of a table of predictions, and its difference from another."""
    if table.row.tolist() != base.row.tolist():
        raise InputError("ablation: two choices have other held-out images")
    before, correct = ((each.actual == each.predicted).to_numpy() for each in (base, table))
    fold, of_rows = table.fold.to_numpy(), [writers[row] for row in table.row]
    counts, loss = (table.fold.nunique(), len(table)), table.loss.mean()
    difference = metrics.difference(before, correct, fold, of_rows)
    values = (*metrics.fold_accuracy(correct, fold), *counts, *difference, loss)
    return dict(zip(_MEASURES, values, strict=True))


if __name__ == "__main__":
    cli.run(main)
