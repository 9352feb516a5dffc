"""Question three's accuracy: MNIST's test split by the networks trained on mnistTask3.

The naive networks are also asked for the class they find least likely: from complementary labels
they learn what an image is not.

reads   artifacts/<source>/{pretrained,label_noise,runs/mnistTask3}/,
        artifacts/<source>/evaluation/oracle/labels.csv (of the training images, for the gap),
        data/tensors/<source>/mnist/test.safetensors, mnistTask3/train.safetensors
writes  metrics/<source>/mnistTask3-*.json, metrics/<source>/mnistTask3/ (tables of calibration,
        label noise, learning curves and the comparison of inits),
        artifacts/<source>/evaluation/mnistTask3/ (predictions),
        artifacts/<source>/figures/mnistTask3/{worst,folders}.png
params  compare_inits
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from handwriting.core import cli, files, params
from handwriting.core.errors import say
from handwriting.data import dataset
from handwriting.evaluation import digits, gallery, metrics, study
from handwriting.evaluation.metrics import Predictions
from handwriting.training import checkpoint, engine

NAIVE, SHOWN = "mnistTask3-naive", "mnistTask3-random"


def main(scratch: Path, source: str) -> None:
    declared = params.load("compare_inits", study.Declared)
    artifacts, tensors = Path(f"artifacts/{source}"), Path(f"data/tensors/{source}")
    test = dataset.load(tensors / "mnist/test.safetensors")
    train = dataset.load(tensors / "mnistTask3/train.safetensors")
    labels = pd.read_csv(artifacts / "evaluation/oracle/labels.csv")["label"].to_numpy(copy=True)
    truth = labels[: len(train.labels)]
    true = replace(train, labels=truth)
    jobs = [*study.jobs(artifacts, "mnistTask3")]
    measured = engine.map(study.measure, jobs, study.ONE_CORE, true, test)
    saved = checkpoint.load(artifacts / "runs/mnistTask3/naive/networks.pt")
    naive = engine.map(study.predict, saved, study.ONE_CORE, test)
    networks = {NAIVE: naive, f"{NAIVE}-argmin": [Predictions(-p.logits, p.truth) for p in naive]}
    for each in measured:
        networks.setdefault(f"mnistTask3-{each.row['init']}", []).append(each.predictions)
    digits.write(source, "mnistTask3", test, networks, SHOWN, scratch)
    say(f"Expected of {NAIVE}: 10% or less, as its labels are wrong.")
    tables = study.tables(measured, declared)
    curves = study.read(artifacts / "runs/mnistTask3/naive/curves.csv").assign(init="naive")
    tables["curves_mean"] = metrics.mean_curves(pd.concat([curves, tables["curves"]]), "init")
    tables["label_noise"] = digits.label_noise(artifacts)
    for name, table in tables.items():
        files.write_frame(Path(f"metrics/{source}/mnistTask3/{name}.csv"), table, scratch)
    gallery.show_folders(artifacts / "figures/mnistTask3/folders.png", train, truth, scratch)


if __name__ == "__main__":
    cli.run(main)
