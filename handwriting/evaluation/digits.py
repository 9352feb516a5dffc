"""What is published of digit networks on MNIST's test split."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from handwriting.core import files
from handwriting.data.dataset import Split
from handwriting.evaluation import gallery, metrics
from handwriting.evaluation.metrics import Predictions

Networks = Mapping[str, Sequence[Predictions]]  # of each name the predictions of each seed


def write(
    source: str, dataset: str, split: Split, networks: Networks, shown: str, scratch: Path
) -> None:
    """Write the metrics of each network; of the first seed all predictions, and of the network
    `shown` its calibration, confusion matrix and worst mistakes."""
    for name, runs in networks.items():
        metrics.write(source, name, metrics.measure(runs), scratch)
    first, folder = {name: runs[0] for name, runs in networks.items()}, Path(f"metrics/{source}")
    evaluation = Path(f"artifacts/{source}/evaluation/{dataset}")
    tables = {
        folder / dataset / "calibration": metrics.calibration(first[shown]),
        folder / dataset / "confusion": metrics.confusion(first[shown], split.classes),
        evaluation / "predictions": metrics.table(split.classes, first),
        evaluation / "tiles": gallery.show_mistakes(
            Path(f"artifacts/{source}/figures/{dataset}"), "worst", split, first[shown], scratch
        ),
    }
    for path, table in tables.items():
        files.write_frame(path.with_suffix(".csv"), table, scratch)


def label_noise(artifacts: Path) -> pd.DataFrame:
    """Return the diagnoses of the digit sets' labels as a table."""
    paths = sorted((artifacts / "label_noise").glob("*.json"))
    columns = ["dataset", "kind", "images", "clean_fraction", "low", "high", "believed_correct"]
    return pd.DataFrame([files.read_json(path) | {"dataset": path.stem} for path in paths])[columns]
