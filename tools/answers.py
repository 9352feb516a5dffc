"""`python -m tools.answers SOURCE`: print each question's accuracies, and where to look."""

from pathlib import Path

from handwriting.core import files
from handwriting.core.errors import InputError
from handwriting.reporting.networks import NETWORKS
from tools import program

QUESTIONS = ("characters", "MNIST, fine-tuned", "mnistTask3, wrong labels", "doubtful labels")
SAMPLE = "The sample is drawn by a script: its accuracies say nothing about handwriting.\n"


def main(source: list[str]) -> None:
    """Print accuracy ± standard deviation of every network, with its images and runs."""
    [name] = source
    measured = [each for each in NETWORKS if Path(f"metrics/{name}/{each}.json").exists()]
    if not measured:
        raise InputError(f"metrics/{name}: no network has been measured")
    print(f"\nAccuracy ± standard deviation, source {name}")
    for number, question in enumerate(QUESTIONS, start=1):
        of_question = [each for each in measured if NETWORKS[each].question == number]
        if of_question:
            print(f"{number}. {question}")
        for network in of_question:
            m = files.read_json(Path(f"metrics/{name}/{network}.json"))
            accuracy = f"{100 * m['accuracy']:.2f}% ± {100 * m['sd']:.2f}"
            counts = f"{m['images']:,} images, {m['runs']} runs"
            print(f"  {network:34}{accuracy:15}  {counts}: {NETWORKS[network].what}")
    print(SAMPLE if name == "sample" else "", "All metrics: dvc metrics show", sep="\n")
    print(f"Report: artifacts/{name}/report.html (make report)")


if __name__ == "__main__":
    program.run(main, "; has `make repro` run?")
