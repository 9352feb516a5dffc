"""The networks of an arm: side by side as one after another, and kept when something goes wrong."""

import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from handwriting.core import cores
from handwriting.core.errors import InputError
from handwriting.data import dataset
from handwriting.data.dataset import Split
from handwriting.training import loop as training
from handwriting.training import model
from handwriting.training import runs as arms
from handwriting.training.augmentation import Augmentation
from handwriting.training.checkpoint import Checkpoint
from handwriting.training.compute import Compute
from handwriting.training.loop import Recipe
from handwriting.training.losses import Clean
from handwriting.training.model import Network
from handwriting.training.optimizer import Rates

RECIPE = Recipe(
    batch_size=32,
    rates=Rates(
        convolutions=0.24,
        momentum=0.6,
        head=0.2,
        biases=0.05,
        head_momentum=0.85,
        weight_decay=5e-4,
        layer_decay=1,
    ),
    warmup=0.1,
    curve_points=3,
)
AUGMENTATION = Augmentation(rotation=10, scale=0.1, shear=0.1, shift=1)
FULL = replace(AUGMENTATION, aspect=0.1, elastic=0.05, stroke=0.4, mixup=1)
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
STRENGTH = arms.Strength(
    widths=(8, 8, 16), stem_stride=2, pooled=(1,), grid=1, epochs=1, augmentation=AUGMENTATION
)


@pytest.fixture
def plan(tmp_dir: Path) -> arms.Plan:
    """A small plan, with data for it."""
    random = np.random.default_rng(0)
    for name, count in (("train", 96), ("validation", 32)):
        split = Split(
            images=random.integers(0, 256, (count, 1, 28, 28), np.uint8),
            labels=np.arange(count) % 10,
            place=np.zeros((count, 0), np.float32),
            classes=tuple("0123456789"),
            box=20,
        )
        dataset.store(split, Path(f"data/{name}.safetensors"), tmp_dir)
    Path("scratch").mkdir()
    return arms.Plan(
        title="an arm",
        data=stored,
        objective=Clean(0.1),
        recipe=RECIPE,
        augmentation=AUGMENTATION,
        epochs=2,
        compute=Compute(device="cpu", precision="float32", threads=1, launcher=""),
        scratch=Path("scratch"),
    )


def stored(_: arms.Job) -> arms.Data:
    train, validation = (
        dataset.load(Path(f"data/{n}.safetensors")) for n in ("train", "validation")
    )
    return arms.Data(train, validation)


def networks(seeds: int, plan: arms.Plan) -> list[arms.Job]:
    shape = arms.shape_of(STRENGTH, 2, 28, 20, "0123456789")
    return arms.of_seeds((model.fresh(shape, seed) for seed in range(seeds)), plan)


def files(folder: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_side_by_side_gives_the_bytes_of_one_after_another(
    plan: arms.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for places in (1, 3):
        monkeypatch.setattr(cores, "available", lambda places=places: places)
        for path in Path("scratch").iterdir():
            path.unlink()
        arms.store_shipped(
            arms.train(networks(3, plan), plan.compute), "sample", "arm", plan.scratch
        )
        results.append(files("artifacts"))
    assert results[0] == results[1]
    assert len(results[0]) == 3


@pytest.mark.parametrize(("layer_decay", "passes"), [(1, 3), (0, 1)])
def test_a_curve_costs_a_tenth_of_a_training_at_most_and_is_of_as_many_images_as_that_pays_for(
    plan: arms.Plan, monkeypatch: pytest.MonkeyPatch, layer_decay: float, passes: int
) -> None:
    answered = []
    logits_of = training.logits_of

    def counting(network: Network, images: Tensor, place: Tensor | None = None) -> Tensor:
        answered.append(len(images))
        return logits_of(network, images, place)

    monkeypatch.setattr(training, "logits_of", counting)
    recipe = replace(RECIPE, rates=replace(RECIPE.rates, layer_decay=layer_decay))
    for epochs in (2, 20):
        answered.clear()
        [job] = networks(1, replace(plan, recipe=recipe, epochs=epochs))
        about = arms._train(job).about
        seen, judged = 96 * epochs, answered[0]
        assert answered == [judged] * recipe.curve_points
        assert about["judged"] == judged
        share = sum(answered) / (sum(answered) + seen * passes)
        assert share <= 0.1
        more = (judged + 1) * recipe.curve_points
        assert judged == 32 or more / (more + seen * passes) > 0.1


@pytest.mark.filterwarnings("ignore:compute.precision is bfloat16")  # not every CPU has it
def test_bfloat16_is_repeatable_and_another_thing_than_float32(plan: arms.Plan) -> None:
    half = replace(plan, compute=replace(plan.compute, precision="bfloat16"))
    runs = [arms.train(networks(1, each), each.compute)[0].network for each in (half, half, plan)]
    weights = [run.head.weight for run in runs]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.filterwarnings("ignore:compute.precision is bfloat16")  # not every CPU has it
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("device", DEVICES)
def test_a_device_gives_the_same_bits_side_by_side_and_when_interrupted(
    plan: arms.Plan,
    device: Literal["cpu", "cuda"],
    precision: Literal["float32", "bfloat16"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compute = replace(plan.compute, device=device, precision=precision)
    plan = replace(plan, compute=compute, augmentation=FULL)
    monkeypatch.setattr(cores, "available", lambda: 1)
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "due", interrupt_at(3))
        with pytest.raises(KeyboardInterrupt):
            arms.train(networks(2, plan), compute)
    assert files("scratch")
    one_by_one = arms.train(networks(2, plan), compute)
    for path in Path("scratch").iterdir():
        path.unlink()
    monkeypatch.setattr(cores, "available", lambda: 2)
    side_by_side = arms.train(networks(2, plan), compute)
    for one, other in zip(one_by_one, side_by_side, strict=True):
        assert one.curve == other.curve
        for name, tensor in one.network.state_dict().items():
            assert torch.equal(tensor, other.network.state_dict()[name]), name


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_takes_the_first_steps_of_a_cpu_with_two_threads(
    plan: arms.Plan, device: Literal["cpu", "cuda"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "available", lambda: 1)
    early = []
    for compute in (replace(plan.compute, threads=2), replace(plan.compute, device=device)):
        each = replace(plan, compute=compute, augmentation=FULL)
        early.append(arms.train(networks(1, each), compute)[0].early[:3])
    assert torch.allclose(early[0], early[1], rtol=1e-3)


def interrupt_at(step: int) -> Callable[[Checkpoint], bool]:
    """Checkpoint.due that is so at every step, and ends the training at this one."""
    count = 0

    def due(_: Checkpoint) -> bool:
        nonlocal count
        count += 1
        if count > step:
            raise KeyboardInterrupt
        return True

    return due


def test_a_checkpoint_is_of_one_shape_one_start_and_one_way_to_train(plan: arms.Plan) -> None:
    [job] = networks(1, plan)
    about = arms.about_of(job, stored(job))
    shape = job.network.shape
    others = (
        *(replace(shape, margin=0), replace(shape, stem_stride=1), replace(shape, pooled=(0,))),
        *(replace(shape, temperature=0.5), replace(shape, box=19), replace(shape, grid=2)),
    )
    keys = [arms.key(job.network, about), arms.key(model.fresh(shape, 1), about)]
    keys += [arms.key(model.fresh(other, 0), about) for other in others]
    keys += [
        arms.key(job.network, arms.about_of(replace(job, plan=other), stored(job)))
        for other in (
            *(replace(plan, epochs=3), replace(plan, objective=Clean(0.2))),
            *(replace(plan, augmentation=FULL), replace(plan, recipe=replace(RECIPE, warmup=0))),
        )
    ]
    assert keys[0] == arms.key(networks(1, plan)[0].network, about)
    assert len(set(keys)) == len(keys)


def test_a_gpu_that_is_not_there_is_refused_in_one_clear_line(plan: arms.Plan) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    compute = replace(plan.compute, device="cuda")
    with pytest.raises(InputError, match="finds no GPU here"):
        arms.train(networks(1, replace(plan, compute=compute)), compute)


def test_a_full_disk_ends_in_the_error_of_the_system_and_keeps_the_last_checkpoint(
    plan: arms.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "available", lambda: 1)
    arms.train(networks(1, plan), plan.compute)
    kept = files("scratch")
    more = replace(plan, epochs=3)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            arms.train(networks(1, more), more.compute)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path: files("scratch")[path] for path in kept} == kept


def test_a_failed_training_ends_the_others(
    plan: arms.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "available", lambda: 2)
    broken = networks(2, plan)
    with torch.no_grad():
        broken[1].network.head.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="an arm seed 1: the loss is nan"):
        arms.train(broken, plan.compute)
