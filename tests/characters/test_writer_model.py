"""The writer model: no change without context, and confusable classes told apart with it."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_t
from torch import Tensor

from handwriting.characters import writer_model
from handwriting.characters.writer_model import WriterModel
from handwriting.data import alphabet
from handwriting.data.geometry import DEVIATION, standardised

CLASSES = alphabet.CHARACTERS
WRITERS, EACH = 40, 62
WRITER = torch.arange(WRITERS).repeat_interleave(EACH)
LABELS = torch.arange(EACH).repeat(WRITERS)
SHARED, BY_TYPE, REST = 0.5, 0.2, 0.1  # variances


TYPE = np.array([writer_model.type_of(each) for each in CLASSES])
TYPES = TYPE.max() + 1
MEAN = np.random.default_rng(0).normal(0, 1, (EACH, 4))
MEAN[TYPE > 1] = MEAN[TYPE == 1] - [1, 1, 0, 0]  # upper as lower case, but larger


def written(seed: int) -> Tensor:
    """Standardised geometry by the writers of a seed, float32 [N, 4]."""
    random = np.random.default_rng(seed)
    of_writer = random.normal(0, SHARED**0.5, (WRITERS, 1, 4))
    of_type = random.normal(0, BY_TYPE**0.5, (WRITERS, TYPES, 4))[:, TYPE]
    rest = random.normal(0, REST**0.5, (WRITERS, EACH, 4))
    return torch.from_numpy(MEAN + of_writer + of_type + rest).float().flatten(0, 1)


GEOMETRY = written(1)


@pytest.fixture(scope="module")
def fitted() -> WriterModel:
    model = WriterModel(CLASSES)
    model.fit(GEOMETRY, LABELS, WRITER)
    return model


def single(geometry: Tensor) -> Tensor:
    """Logits that know the letter, but the case of N to Z by the mean geometry alone."""
    total = SHARED + BY_TYPE + REST
    far = geometry[:, None] - torch.from_numpy(MEAN).float()
    logits = -far.square().sum(2) / (2 * total)
    letter = [each.lower() if each.lower() > "m" else each for each in CLASSES]
    other = torch.tensor([[a != b for b in letter] for a in letter])
    return logits.masked_fill(other[LABELS], -100.0)


def correct(logits: Tensor) -> Tensor:
    return (logits.argmax(1) == LABELS).float()


def test_the_covariances_are_recovered(fitted: WriterModel) -> None:
    one = torch.eye(4, dtype=torch.float64)
    model = WriterModel(CLASSES)
    many = torch.cat([written(seed) for seed in range(40)])
    writers = torch.cat([WRITER + WRITERS * i for i in range(40)])
    model.fit(many, LABELS.repeat(40), writers)
    assert (model.shared - SHARED * one).abs().max() < 0.1
    assert (model.by_type - BY_TYPE * one).abs().max() < 0.04
    assert (model.within.mean(0) - REST * one).abs().max() < 0.01
    assert (fitted.mean[10:36] - fitted.mean[36:])[:, :2].mean().item() == pytest.approx(1, abs=0.2)


def test_an_image_without_context_keeps_its_logits_to_the_bit(fitted: WriterModel) -> None:
    logits = single(GEOMETRY)
    assert torch.equal(fitted.adapted_group(logits, GEOMETRY, torch.full_like(WRITER, -1)), logits)
    assert torch.equal(fitted.adapted_group(logits, GEOMETRY, torch.arange(len(WRITER))), logits)
    nothing = torch.zeros_like(fitted.evidence(logits, GEOMETRY))
    assert torch.equal(fitted.adapted(logits, GEOMETRY, nothing), logits)


def test_context_tells_upper_from_lower_case_also_of_unseen_writers(fitted: WriterModel) -> None:
    for geometry in (GEOMETRY, written(2)):
        logits = single(geometry)
        read = fitted.adapted_group(logits, geometry, WRITER)
        assert correct(read).mean() > 0.96
        assert (1 - correct(read)).mean() < 0.6 * (1 - correct(logits)).mean()


def test_context_of_one_character_type_alone_helps_too(fitted: WriterModel) -> None:
    geometry = written(2)
    logits = single(geometry)
    kinds = [alphabet.character_type(each) for each in CLASSES]
    for kind in ("upper", "lower"):
        rows = torch.tensor([each == kind for each in kinds])[LABELS]
        read = fitted.adapted_group(logits[rows], geometry[rows], WRITER[rows])
        alone = (logits[rows].argmax(1) == LABELS[rows]).float().mean()
        assert (read.argmax(1) == LABELS[rows]).float().mean() > alone


def test_the_order_and_the_other_writers_of_a_folder_change_nothing(fitted: WriterModel) -> None:
    logits = single(GEOMETRY)
    read = fitted.adapted_group(logits, GEOMETRY, WRITER)
    order = torch.randperm(len(WRITER), generator=torch.Generator().manual_seed(1))
    shuffled = fitted.adapted_group(logits[order], GEOMETRY[order], WRITER[order])
    assert torch.allclose(shuffled, read[order], atol=1e-4)
    first = WRITER == 0
    alone = fitted.adapted_group(logits[first], GEOMETRY[first], WRITER[first])
    assert torch.allclose(alone, read[first], atol=1e-4)


def test_evidence_adds_up(fitted: WriterModel) -> None:
    logits = single(GEOMETRY)
    others = writer_model.context_rows([str(each) for each in WRITER.tolist()])
    told = fitted.evidence(logits, GEOMETRY)[others].sum(1)
    read = fitted.adapted(logits, GEOMETRY, told)
    assert torch.allclose(read, fitted.adapted_group(logits, GEOMETRY, WRITER), atol=1e-4)


@pytest.mark.parametrize("other", [[50.0, -50.0], [1.0, 0.0]], ids=["certain", "uncertain"])
@pytest.mark.parametrize("second", ["B", "b"], ids=["of one type", "of another type"])
def test_one_image_of_context_gives_what_bayes_rule_does(second: str, other: list[float]) -> None:
    """Another image by the writer, at 2 in one number, makes an A of one at 2.5 likelier than the
    second class, by as much as Student's densities say.

    The means are 1 and -1, the variances 3 shared, 1 apart and 0.5 within; what the two images have
    in common if the one is of the first, of the second class: 4 where it is of the other's type.
    """
    model, one = WriterModel(("A", second)), torch.eye(4, dtype=torch.float64)
    means = np.array([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]])
    model.mean.copy_(torch.from_numpy(means))
    model.shared.copy_(3 * one)
    model.by_type.copy_(1 * one)
    model.within.copy_((0.5 * one).repeat(2, 1, 1))
    x, seen = np.array([2.5, 0, 0, 0]), np.array([2.0, 0, 0, 0])
    geometry = torch.from_numpy(np.stack([x, seen])).float()
    read = model.adapted_group(torch.tensor([[0.0, 0.0], other]), geometry, torch.zeros(2).long())
    weight = torch.tensor(other).softmax(0).numpy().astype(float)
    expected = weight @ means  # of the other's four numbers, as their variance given its writer
    variance = 0.5 + weight @ means**2 - expected**2
    usual = 4 if second == "B" else 3 + (weight**2).sum()
    gains = []
    for mean, of_type in zip(means, weight, strict=True):
        common = 4 if second == "B" else 3 + of_type
        gain = common / (usual + variance)
        spread = np.diag(4.5 - common * gain)
        told = multivariate_t.logpdf(x, mean + gain * (seen - expected), spread, df=16)
        gains.append(told - multivariate_t.logpdf(x, mean, 4.5 * np.eye(4), df=16))
    found = (read[0, 0] - read[0, 1]).item()
    assert found == pytest.approx(gains[0] - gains[1], abs=1e-4)
    assert abs(found) > 0.1


def in_own_units(geometry: Tensor, unit: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The shares that features are of, in other units, of unknown position."""
    zero = standardised(np.array([[1, 1, 0, 0]], np.float32))[:, :2]  # log 1 is 0
    sizes = np.exp((geometry[:, :2].numpy() - zero) * np.array(DEVIATION[:2])) * unit[:, None]
    return np.concatenate([sizes, np.full_like(sizes, np.nan)], 1).astype(np.float32)


def letter_alone() -> Tensor:
    """Logits that know nothing of the case of N to Z."""
    return torch.where(single(GEOMETRY) <= -100, -100.0, 0.0)


def test_sizes_in_units_of_the_writers_own_tell_upper_from_lower_case(fitted: WriterModel) -> None:
    logits = letter_alone()
    unit = np.random.default_rng(3).uniform(0.3, 3, WRITERS)[WRITER]
    read = fitted.adapted_sizes(logits, in_own_units(written(2), unit), WRITER)
    assert correct(logits).mean() < 0.9
    assert correct(read).mean() > correct(logits).mean() + 0.05


def test_sizes_that_tell_nothing_change_nothing(fitted: WriterModel) -> None:
    """Known geometry, an unknown one, an unknown writer, one image each, images scaled to one
    size, and images scaled at random, whose sizes are no evidence."""
    logits, random, one = letter_alone(), np.random.default_rng(3), np.ones(len(WRITER))
    shares = in_own_units(written(2), one)
    known, unknown = shares.copy(), np.full_like(shares, np.nan)
    known[:, 2:] = 0.5
    alone, nobody = torch.arange(len(WRITER)), torch.full_like(WRITER, -1)
    scaled = in_own_units(written(2), 0.5 / np.maximum(shares[:, 0], shares[:, 1] * 4 / 3))
    given = [(known, WRITER), (unknown, WRITER), (shares, alone), (shares, nobody)]
    for each, writers in [*given, (scaled, WRITER)]:
        assert torch.equal(fitted.adapted_sizes(logits, each, writers), logits)
    at_random = in_own_units(written(2), random.lognormal(0, 1, len(WRITER)))
    read = fitted.adapted_sizes(logits, at_random, WRITER)
    assert (read.softmax(1) - logits.softmax(1)).abs().mean() < 0.01


def test_an_outlier_keeps_to_its_pixels_and_says_little_of_a_writer(fitted: WriterModel) -> None:
    """A writer writes an N as small as nothing else; its size alone would say another class."""
    logits, geometry = single(GEOMETRY), GEOMETRY.clone()
    odd = (WRITER == 0) & (CLASSES.index("N") == LABELS)
    geometry[odd, :2] -= 6
    logits[odd] = -8.0
    logits[odd, CLASSES.index("N")] = 0.0
    read = fitted.adapted_group(logits, geometry, WRITER)
    assert CLASSES[int(read[odd].argmax(1))] == "N"
    without = fitted.adapted_group(logits[~odd], geometry[~odd], WRITER[~odd])
    changed = read[~odd].argmax(1) != without.argmax(1)
    assert changed[WRITER[~odd] == 0].sum() <= 2


@pytest.mark.parametrize(
    "writers",
    [
        torch.arange(len(WRITER)),
        torch.zeros_like(WRITER),
        WRITER * 3 + LABELS % 3,
        torch.where(WRITER < 5, -1, WRITER),
    ],
    ids=["a writer for each image", "one writer", "writers of few classes", "some unknown"],
)
def test_the_model_is_finite_whoever_wrote_what(writers: Tensor) -> None:
    model, some = WriterModel(CLASSES), LABELS != 5  # of one class there is none
    model.fit(GEOMETRY[some], LABELS[some], writers[some])
    assert all(each.isfinite().all() for each in model.state_dict().values())
    read = model.adapted_group(single(GEOMETRY), GEOMETRY, WRITER)
    assert read.isfinite().all()


def test_an_unfitted_model_changes_next_to_nothing() -> None:
    logits = single(GEOMETRY)
    read = WriterModel(CLASSES).adapted_group(logits, GEOMETRY, WRITER)
    assert (read - logits).abs().max() < 0.1


def test_names_of_writers_become_numbers_and_none_stays_unknown() -> None:
    assert writer_model.numbered(["b", None, "a", "b"]).tolist() == [1, -1, 0, 1]


def test_the_context_of_an_image_is_its_writers_others() -> None:
    found = writer_model.context_rows(["b", "a", "b", "b", "a"]).tolist()
    assert found == [[2, 3], [4, -1], [0, 3], [0, 2], [1, -1]]
    assert writer_model.context_rows(["a", "b"]).shape == (2, 0)


def test_of_a_writer_of_many_images_some_others_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_model, "_OTHERS", 2)
    found = writer_model.context_rows(["a", "b", "a", "a", "a", "b"]).tolist()
    assert found == [[2, 3], [5, -1], [3, 4], [4, 0], [0, 2], [1, -1]]


def test_an_image_of_unknown_geometry_is_neither_adapted_nor_evidence(fitted: WriterModel) -> None:
    logits, unknown = single(GEOMETRY), GEOMETRY.clone()
    unknown[::3] = torch.nan
    found = fitted.adapted_group(logits, unknown, WRITER)
    assert torch.equal(found[::3], logits[::3])
    rest = torch.arange(len(logits)) % 3 > 0
    wanted = fitted.adapted_group(logits[rest], GEOMETRY[rest], WRITER[rest])
    assert torch.allclose(found[rest], wanted, atol=1e-4)
    assert not torch.allclose(found[rest], logits[rest], atol=0.1)
