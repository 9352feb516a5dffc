"""What the benchmarks share: where results go, and the machine's name."""

import json
import platform
from pathlib import Path
from typing import Any

RESULTS = Path("bench/results")
SAMPLE = Path("data/sample")


def write(name: str, content: Any) -> None:
    """Write bench/results/<name>.json."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def processor() -> str:
    """Return the model's name."""
    import torch  # here alone: the memory of a parent counts as that of the process it starts

    return str(torch.cpu.get_capabilities().get("cpu_name") or platform.machine())
