"""What is published of digit networks on MNIST's test split."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from handwriting.core import files
from handwriting.data.dataset import Split
from handwriting.evaluation import gallery, metrics
from handwriting.evaluation.metrics import Predictions


def write(
    source: str,
    dataset: str,
    split: Split,
    networks: Mapping[str, Sequence[Predictions]],
    shown: str,
    scratch: Path,
) -> None:
    """Write the metrics of each network, from its predictions of each seed, and of the first seed
    all predictions, and of the network `shown` its calibration and its worst mistakes."""
    for name, runs in networks.items():
        metrics.write(source, name, metrics.measure(runs), scratch)
    first = {name: runs[0] for name, runs in networks.items()}
    calibration = metrics.calibration(first[shown])
    files.write_frame(Path(f"metrics/{source}/{dataset}/calibration.csv"), calibration, scratch)
    folder = Path(f"artifacts/{source}/evaluation/{dataset}")
    files.write_frame(folder / "predictions.csv", metrics.table(split.classes, first), scratch)
    tiles = gallery.show_worst(folder / "worst", split, first[shown], scratch)
    files.write_csv(folder / "tiles.csv", gallery.TILES, tiles, scratch)


def label_noise(artifacts: Path) -> pd.DataFrame:
    """Return the diagnoses of the digit sets' labels as a table."""
    paths = sorted((artifacts / "label_noise").glob("*.json"))
    columns = ["dataset", "kind", "images", "clean_fraction", "low", "high", "believed_correct"]
    return pd.DataFrame([files.read_json(path) | {"dataset": path.stem} for path in paths])[columns]
