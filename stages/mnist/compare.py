"""Question two's answer: what pretraining changes on MNIST's test split, with its uncertainty.

Arms are compared by the differences between networks of one seed, which were trained on the same
images in the same order.

reads   artifacts/<source>/pretrained/, artifacts/<source>/runs/mnist/<init>/,
        data/tensors/<source>/mnist/{train,test}.safetensors
writes  metrics/<source>/transfer/
params  compare_inits
"""

from pathlib import Path

from handwriting.core import cli, files, params
from handwriting.core.errors import say
from handwriting.data import dataset
from handwriting.evaluation import study
from handwriting.training import engine


def main(scratch: Path, source: str) -> None:
    declared = params.load("compare_inits", study.Declared)
    folder = Path(f"metrics/{source}/transfer")
    splits = dataset.load_splits(source, "mnist", "train", "test")
    jobs = [*study.jobs(Path(f"artifacts/{source}"), "mnist")]
    tables = study.tables(engine.map(study.measure, jobs, study.ONE_CORE, *splits), declared)
    tables["labels"] = study.by_labels(tables["runs"], declared.primary.method)
    answer = study.headline(tables["runs"], tables["comparisons"])
    for name, table in tables.items():
        files.write_frame(folder / f"{name}.csv", table, scratch)
    files.write_json(folder / "answer.json", answer, scratch)
    say(answer["answer"])


if __name__ == "__main__":
    cli.run(main)
