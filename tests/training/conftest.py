"""A folder in which a stage of the pipeline can train."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def folder(reproduced: Path, tmp_path: Path) -> Path:
    """What the stages of a reproduced pipeline read that train on tensors and little else."""
    for name in ("stages", "handwriting", "data/tensors/sample"):
        shutil.copytree(reproduced / name, tmp_path / name)
    confusable = Path("artifacts/sample/crossvalidation/confusable.json")
    (tmp_path / confusable).parent.mkdir(parents=True)
    for path in (Path("params.yaml"), confusable):
        shutil.copy(reproduced / path, tmp_path / path)
    return tmp_path
