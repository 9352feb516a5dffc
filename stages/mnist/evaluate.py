"""Question two's accuracy: MNIST's test split by the networks trained on all of MNIST.

reads   artifacts/<source>/runs/mnist/<init>/{networks.pt,curves.csv},
        data/tensors/<source>/mnist/test.safetensors
writes  metrics/<source>/mnist-<init>.json, metrics/<source>/mnist/ (tables of calibration and mean
        learning curves), artifacts/<source>/evaluation/mnist/ (predictions),
        artifacts/<source>/figures/mnist/worst.png
"""

from pathlib import Path

import pandas as pd

from handwriting.core import cli, files
from handwriting.data import dataset
from handwriting.evaluation import digits, metrics, study
from handwriting.training import checkpoint, engine

SHOWN = "mnist-characters"


def main(scratch: Path, source: str) -> None:
    test = dataset.load(Path(f"data/tensors/{source}/mnist/test.safetensors"))
    folders = [Path(f"artifacts/{source}/runs/mnist/{init}") for init in study.INITS]
    saved = [each for folder in folders for each in checkpoint.load(folder / "networks.pt")]
    whole = [each for each in saved if (each.run.method, each.run.labels) == (study.FULL, "all")]
    networks: dict[str, list[metrics.Predictions]] = {}
    predicted = engine.map(study.predict, whole, study.ONE_CORE, test)
    for each, found in zip(whole, predicted, strict=True):
        networks.setdefault(f"mnist-{each.run.init}", []).append(found)
    digits.write(source, "mnist", test, networks, SHOWN, scratch)
    curves = pd.concat([study.read(each / "curves.csv") for each in folders])
    curves = curves.query(f"method == '{study.FULL}' and labels == 'all'")
    path = Path(f"metrics/{source}/mnist/curves.csv")
    files.write_frame(path, metrics.mean_curves(curves, "init"), scratch)


if __name__ == "__main__":
    cli.run(main)
