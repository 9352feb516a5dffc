"""Put side by side what each choice of question one bought: the ablation's answers in one table.

reads   ablation/reasons.json, ablation/artifacts/<source>/choices/,
        data/tensors/<source>/characters-hands.csv
writes  metrics/<source>/ablation.csv
params  none
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from handwriting.core import cli as entry
from handwriting.core import files
from handwriting.core.errors import InputError
from handwriting.data import dataset
from handwriting.evaluation import paired

_RECIPE = "recipe"  # the row with which all others are compared
_COLUMNS = (
    *("choice", "change", "accuracy", "sd", "folds", "images"),
    *("difference", "low", "high", "difference_sd", "same_hand", "loss", "why", "source"),
)


class Answers(NamedTuple):
    """What was said of the held-out images, in their order."""

    rows: list[int]
    fold: NDArray[np.int64]  # [N]
    right: NDArray[np.bool_]  # [N]
    same_hand: float  # accuracy among others of the writer
    loss: float  # mean cross-entropy


def main(scratch: Path, source: str) -> None:
    reasons = files.read_json(Path("ablation/reasons.json"))
    folder = Path(f"ablation/artifacts/{source}/choices")
    paths = {name: folder / f"{name}.csv" for name in reasons}
    every = {name: read(path) for name, path in paths.items() if path.exists()}
    if _RECIPE not in every:
        raise InputError(f"{paths[_RECIPE]}: there is no such file")
    hands = dataset.load_hands(Path(f"data/tensors/{source}/characters-hands.csv"))
    table = list(compare(every, reasons, hands))
    path = Path(f"metrics/{source}/ablation.csv")
    files.write_csv(path, _COLUMNS, table, scratch)
    if missing := [name for name in reasons if name not in every]:
        print(f"not trained yet: {', '.join(missing)}")
    for row in table:
        name, _, accuracy, sd, _, _, apart, low, high, *_ = row
        print(
            f"{name:14}{100 * accuracy:6.2f}% (sd {100 * sd:.2f})"
            f" {100 * apart:+6.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
        )


def read(path: Path) -> Answers:
    """The answers of a choice. Raises InputError naming the file."""
    try:
        rows = files.read_csv(path)
        return Answers(
            rows=[int(row["row"]) for row in rows],
            fold=np.array([int(row["fold"]) for row in rows], np.int64),
            right=np.array([row["actual"] == row["predicted"] for row in rows]),
            same_hand=float(np.mean([row["actual"] == row["same_hand"] for row in rows])),
            loss=float(np.mean([float(row["loss"]) for row in rows])),
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: not a table of the ablation: {error}") from None


def compare(
    every: dict[str, Answers], reasons: dict[str, dict[str, str]], hands: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """A row of _COLUMNS for each choice; `hands` has the writer of every image."""
    base = every[_RECIPE]
    written = [hands[row] for row in base.rows]
    for name, answers in every.items():
        if answers.rows != base.rows:
            raise InputError(f"{name}: other held-out images than those of {_RECIPE}")
        accuracy, sd = paired.accuracy(answers.right, answers.fold)
        apart = paired.difference(base.right, answers.right, answers.fold, written)
        interval = (apart.low, apart.high) if name != _RECIPE else (0.0, 0.0)
        about = reasons[name]
        yield (
            *(name, about["change"], accuracy, sd, len(np.unique(answers.fold))),
            *(len(answers.rows), apart.mean, *interval, apart.deviation),
            *(answers.same_hand, answers.loss, about["why"], about["source"]),
        )


if __name__ == "__main__":
    entry.run(main)
