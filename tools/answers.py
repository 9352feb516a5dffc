"""`python -m tools.answers SOURCE`: print each question's accuracies, and where to look."""

import sys
from pathlib import Path

from handwriting.core import files
from handwriting.core.errors import InputError
from handwriting.reporting import networks

QUESTIONS = ("characters, 62 classes", "MNIST, fine-tuned", "mnistTask3, wrong labels")
SAMPLE = "The sample is drawn by a script: its accuracies say nothing about handwriting.\n"


def row(folder: Path, name: str, what: str) -> str:
    """Accuracy ± standard deviation of a network, with its images and runs."""
    m = files.read_json(folder / f"{name}.json")
    accuracy = f"{100 * m['accuracy']:.2f}% ± {100 * m['sd']:.2f}"
    return f"  {name:34}{accuracy:15}  {m['images']:,} images, {m['runs']} runs: {what}"


def answers(source: str) -> str:
    """The answers of a source to the three questions."""
    lines = [f"\nAccuracy ± standard deviation, source {source}"]
    for number, question in enumerate(QUESTIONS, start=1):
        lines.append(f"{number}. {question}")
        for name, network in networks.of_question(number).items():
            lines.append(row(Path("metrics", source), name, network.what))
    lines += [SAMPLE if source == "sample" else "", "All metrics: dvc metrics show"]
    return "\n".join([*lines, f"Report: artifacts/{source}/report.html (make report)"])


if __name__ == "__main__":
    try:
        print(answers(sys.argv[1]))
    except InputError as problem:
        sys.exit(f"answers: {problem}; has `make repro` run?")
