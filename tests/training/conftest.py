"""A folder in which a stage of the pipeline can train."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def folder(reproduced: Path, tmp_path: Path) -> Path:
    """What the stages of a reproduced pipeline read that train on tensors alone."""
    for name in ("stages", "handwriting", "data/tensors/sample"):
        shutil.copytree(reproduced / name, tmp_path / name)
    shutil.copy(reproduced / "params.yaml", tmp_path)
    return tmp_path
