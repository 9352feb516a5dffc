"""The pipeline's programs. Importing any of them first checks that this Python can run them."""

import importlib.util
import os
import sys

_PACKAGES = ["numpy", "pandas", "pydantic", "requests", "safetensors", "scipy", "sklearn", "torch"]
_PACKAGES += ["PIL", "jinja2", "kornia_rs", "markdown_it", "onnx", "onnxscript", "plotly", "tqdm"]
_PACKAGES += ["pathspec", "yaml"]

if sys.version_info < (3, 11):  # noqa: UP036 - the message is for those who have an older one
    sys.exit(
        f"{sys.executable} is Python {sys.version.split()[0]}: this project needs 3.11 or newer"
    )

_missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
if _missing:
    sys.exit(
        f"{sys.executable} lacks {', '.join(_missing)}: run `make setup` once, "
        "then `. .venv/bin/activate`"
    )

# OpenMP reads these when torch is imported. A thread that waits by spinning burns 5 to 20 times the
# CPU on a busy machine, and the pools of BLAS and OpenMP must not multiply with our processes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from handwriting.core import cli  # noqa: E402, F401 - notes what a stage reads before it reads it
