"""A checkpoint says everything about its network, and is never executed."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from handwriting.core.errors import InputError
from handwriting.training import model
from handwriting.training.model import Shape

SHAPE = Shape(
    classes=tuple("0123456789"),
    size=28,
    box=20,
    margin=2,
    widths=(8, 8, 16),
    stem_stride=2,
    pooled=(1,),
    grid=1,
    place=0,
    temperature=1,
)


def test_a_checkpoint_gives_back_the_network_and_what_it_came_from(tmp_path: Path) -> None:
    network = model.fresh(SHAPE, 3).eval()
    other = model.fresh(SHAPE, 4).eval()
    model.save([(network, {"seed": 3}), (other, {"seed": 4})], tmp_path / "a.pt", tmp_path)
    [(loaded, about), (second, about_second)] = model.load_all(tmp_path / "a.pt")
    images = torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8)
    assert torch.equal(network(images), loaded(images))
    assert torch.equal(other(images), second(images))
    assert loaded.shape == SHAPE
    assert (about, about_second) == ({"seed": 3}, {"seed": 4})


def test_the_bytes_of_a_checkpoint_do_not_depend_on_its_name(tmp_path: Path) -> None:
    for name in ("one.pt", "another.pt"):
        model.save([(model.fresh(SHAPE, 0), {})], tmp_path / name, tmp_path)
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "another.pt").read_bytes()


class Trap:
    """What a hostile pickle does."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("sprung"),)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no checkpoint",
        pickle.dumps(Trap()),
        pickle.dumps({"shape": {}}),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_line_and_not_run(
    content: bytes, tmp_dir: Path
) -> None:
    (tmp_dir / "bad.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.pt: not a checkpoint") as caught:
        model.load_all(Path("bad.pt"))
    assert "\n" not in str(caught.value)
    assert not Path("sprung").exists()


def test_a_pickled_object_inside_a_torch_file_is_refused_and_not_run(tmp_dir: Path) -> None:
    torch.save({"shape": Trap()}, tmp_dir / "bad.pt")
    with pytest.raises(InputError, match=r"bad\.pt: not a checkpoint"):
        model.load_all(Path("bad.pt"))
    assert not Path("sprung").exists()


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        model.load_all(tmp_path / "absent.pt")


def test_a_transplant_carries_the_body_and_nothing_of_the_head() -> None:
    source = model.fresh(SHAPE, 0)
    network = model.transplant(source, tuple("abc"), 1)
    for name, tensor in source.state_dict().items():
        if not name.startswith("head"):
            assert torch.equal(network.state_dict()[name], tensor), name
    assert network.head.out_features == 3


@pytest.mark.parametrize("seed", range(5))
def test_the_head_of_a_transplant_is_not_the_one_that_the_body_set_out_with(seed: int) -> None:
    source = model.fresh(SHAPE, seed)
    head = model.transplant(source, SHAPE.classes, seed).head.weight
    correlation = torch.corrcoef(torch.stack([head.flatten(), source.head.weight.flatten()]))[0, 1]
    assert correlation.abs() < 5 / head.numel() ** 0.5


def test_the_network_scales_its_input_itself() -> None:
    network = model.fresh(SHAPE, 0).eval()
    images = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    assert torch.equal(network(images), network(images.float()))


@pytest.mark.parametrize(
    "changes",
    [
        {"margin": 14},
        {"margin": -1},
        {"pooled": (0, 1, 2), "grid": 4},
        {"pooled": (3,)},
        {"widths": (10**12,)},
        {"temperature": 0},
        {"box": 100},
    ],
)
def test_a_shape_that_no_network_can_have_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        model.fresh(replace(SHAPE, **changes), 0)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    network = model.fresh(SHAPE, 0)
    with torch.no_grad():
        network.head.bias[3] = float("nan")
    model.save([(network, {})], tmp_path / "a.pt", tmp_path)
    with pytest.raises(InputError, match=r"a\.pt: .*some of its weights are not numbers"):
        model.load_all(tmp_path / "a.pt")
