"""The posteriors that the labels are held against."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.data import alphabet
from handwriting.data.dataset import Split
from handwriting.training import model
from handwriting.training import runs as arms
from handwriting.training.compute import Compute
from handwriting.training.runs import Strength
from stages.mnistTask3 import diagnose as audit
from stages.mnistTask3 import finetune as correct
from tests import workspace


@pytest.mark.parametrize("source", ["sample", "dropbox"])
def test_the_committed_study_named_every_fault_rightly(source: str) -> None:
    path = workspace.ROOT / f"bench/results/diagnosis-{source}.json"
    cases = json.loads(path.read_text())["cases"]
    assert len({case["fault"] for case in cases}) == 13
    assert len({(case["images"], case["fault"]) for case in cases}) == 26
    assert all(case["named_rightly"] for case in cases)
    intervals = [(*case["right_interval"], case["truly_right"]) for case in cases]
    held = sum(low <= share <= high for low, high, share in intervals)
    assert held >= 23  # of 26 intervals of 95%: fewer are by chance in one study of 25


@pytest.fixture
def split() -> Split:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 1, 28, 28), dtype=np.uint8)
    place = np.empty((40, 0), np.float32)
    return Split(images, np.arange(40) % 10, place, alphabet.DIGITS, 20)


@pytest.mark.parametrize("learning_helps", [True, False])
def test_what_was_learnt_counts_if_it_makes_the_labels_likelier(
    split: Split, learning_helps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignorant, knowing = np.full((40, 10), 0.1), np.eye(10)[split.labels] * 0.9 + 0.01
    first, last = (ignorant, knowing) if learning_helps else (knowing, ignorant)
    shape = arms.shape_of(params.load("strengths.fast", Strength), 2, 28, 20, alphabet.DIGITS)
    base = model.fresh(shape, 0)
    trained = arms.Trained("", base, [], torch.empty(0), {})
    said = iter([first, *(last[part::2] for _ in range(2) for part in (1, 0))])
    monkeypatch.setattr(arms, "train", lambda *_: [trained, trained])
    monkeypatch.setattr(audit, "answers", lambda *_: next(said))
    compute = Compute(device="cpu", precision="float32", threads=1, launcher="")
    plan = audit.plan("sample", tmp_path / "spoiled/train.safetensors", compute, tmp_path)
    assert (audit.adapted(split, [base], plan) == knowing).all()


def test_from_labels_that_say_nothing_nothing_is_learnt() -> None:
    matrix = np.full((10, 10), 0.1).tolist()
    found = {"family": "random", "sentence": "The labels say nothing", "matrix": matrix}
    with pytest.raises(InputError, match="nothing can be learnt: The labels say nothing"):
        correct.informative(found)
    found["family"] = "general"
    assert correct.informative(found).matrix == tuple(map(tuple, matrix))
