"""A checkpoint says everything about its network, and is never executed."""

import io
import pickle
from pathlib import Path

import pytest
import torch

from handwriting.core.errors import InputError
from handwriting.training import checkpoint, model
from handwriting.training.checkpoint import Run, Saved
from tests.networks import SHAPE


def saved(seed: int) -> Saved:
    network = model.fresh(SHAPE, "a test", seed).eval()
    extra = {"more": {"state": torch.tensor([seed])}}
    return Saved(network, Run(data="mnist", labels="10", seed=seed), {"epochs": 2}, extra)


def test_a_checkpoint_of_any_name_gives_back_networks_and_their_origin(tmp_path: Path) -> None:
    originals = [saved(3), saved(4)]
    for name in ("a.pt", "another.pt"):
        checkpoint.save(originals, tmp_path / name, tmp_path)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "another.pt").read_bytes()
    images = torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8)
    for one, other in zip(originals, checkpoint.load(tmp_path / "a.pt"), strict=True):
        assert torch.equal(one.network(images), other.network(images))
        assert one.network.shape == other.network.shape
        assert (one.run, one.about, one.extra) == (other.run, other.about, other.extra)


def test_a_run_is_told_by_its_columns_in_a_table() -> None:
    assert Run.columns() == ["data", "init", "method", "labels", "seed"]
    assert saved(3).run.values() == ("mnist", "random", "full", "10", 3)


class Hostile:
    """What a hostile pickle does."""

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (Path("executed"),)


def zipped() -> bytes:
    """A pickled object inside a torch file."""
    buffer = io.BytesIO()
    torch.save({"shape": Hostile()}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"no checkpoint", pickle.dumps(Hostile()), pickle.dumps({"shape": {}}), zipped()],
    ids=["empty", "text", "a pickled object", "a pickled dict", "a torch file of an object"],
)
def test_another_file_is_one_clear_line_and_not_executed(content: bytes, tmp_dir: Path) -> None:
    (tmp_dir / "bad.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.pt: not a checkpoint") as caught:
        checkpoint.load(Path("bad.pt"))
    assert "\n" not in str(caught.value)
    assert not Path("executed").exists()


def test_a_missing_checkpoint_a_folder_and_an_empty_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        checkpoint.load(tmp_path / "absent.pt")
    with pytest.raises(InputError, match="a folder, not a checkpoint"):
        checkpoint.load(tmp_path)
    checkpoint.save([], tmp_path / "a.pt", tmp_path)
    with pytest.raises(InputError, match="holds no network"):
        checkpoint.load(tmp_path / "a.pt")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    broken = saved(0)
    with torch.no_grad():
        broken.network.head.bias[3] = float("nan")
    checkpoint.save([broken], tmp_path / "a.pt", tmp_path)
    with pytest.raises(InputError, match=r"a\.pt: .*non-finite weights"):
        checkpoint.load(tmp_path / "a.pt")
