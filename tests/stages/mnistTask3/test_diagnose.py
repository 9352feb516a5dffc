"""Which posteriors the labels are held against, and what is trained on after a diagnosis."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from handwriting.core.errors import InputError
from handwriting.training import model, runs
from handwriting.training.checkpoint import Run, Saved
from handwriting.training.runs import Trained
from stages.mnistTask3 import diagnose, finetune
from tests import workspace
from tests.networks import COMPUTE, PLAN, SHAPE, split


@pytest.mark.parametrize("source", ["sample", "real"])
def test_the_committed_study_named_every_fault_correctly(source: str) -> None:
    path = workspace.ROOT / f"bench/results/diagnosis-{source}.json"
    cases = json.loads(path.read_text())["cases"]
    assert len({case["noise"] for case in cases}) == 13
    assert len({(case["images"], case["noise"]) for case in cases}) == 26
    assert all(case["named_correctly"] for case in cases)
    held = sum(case["low"] <= case["true_clean_fraction"] <= case["high"] for case in cases)
    assert held >= 23  # of 26 intervals of 95%: fewer are by chance in one study of 25


@pytest.mark.parametrize("training_helps", [True, False])
def test_a_training_counts_if_it_makes_the_labels_likelier(
    training_helps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = split(40)
    ignorant, knowing = np.full((40, 10), 0.1), np.eye(10)[images.labels] * 0.9 + 0.01
    first, last = (ignorant, knowing) if training_helps else (knowing, ignorant)
    network = model.fresh(SHAPE, "a test", 0)
    trained = Trained(Saved(network, Run(data="mnist"), {}), [], torch.empty(0))
    predicted = iter([first, *(last[part::2] for _ in range(2) for part in (1, 0))])
    monkeypatch.setattr(runs, "train", lambda *_: [trained, trained])
    monkeypatch.setattr(diagnose, "predictions", lambda *_: next(predicted))
    training = diagnose.Training("mnist", PLAN, 2, COMPUTE, tmp_path)
    assert (diagnose.adapted(images, [network], training) == knowing).all()


def test_nothing_is_trained_on_labels_that_say_nothing() -> None:
    matrix = np.full((10, 10), 0.1).tolist()
    found = {"kind": "random", "sentence": "The labels say nothing", "matrix": matrix}
    with pytest.raises(InputError, match="nothing can be learned: The labels say nothing"):
        finetune.objective_of(found)
    found["kind"] = "general"
    assert finetune.objective_of(found).matrix == tuple(map(tuple, matrix))
