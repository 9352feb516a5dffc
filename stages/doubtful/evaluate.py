"""What doubtful labels teach: the characters of the source, on which nothing was trained here.

reads   artifacts/<source>/doubtful-{naive,corrected}.pt,
        data/tensors/<source>/characters28/train.safetensors
writes  metrics/<source>/doubtful-{naive,corrected}.json, metrics/<source>/doubtful/ (tables),
        artifacts/<source>/evaluation/doubtful/ (predictions),
        artifacts/<source>/figures/doubtful/worst.png
"""

from pathlib import Path

from handwriting.core import cli
from handwriting.data import dataset
from handwriting.evaluation import digits, study
from handwriting.training import checkpoint, engine

NETWORKS = SHOWN, _ = "doubtful-corrected", "doubtful-naive"


def main(scratch: Path, source: str) -> None:
    [test] = dataset.load_splits(source, "characters28", "train")
    saved = {name: checkpoint.load(Path(f"artifacts/{source}/{name}.pt")) for name in NETWORKS}
    networks = {
        name: engine.map(study.predict, each, study.ONE_CORE, test) for name, each in saved.items()
    }
    digits.write(source, "doubtful", test, networks, SHOWN, scratch)


if __name__ == "__main__":
    cli.run(main)
