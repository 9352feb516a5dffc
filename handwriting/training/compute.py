"""What the networks are trained on: device, precision and threads are settings, never guesses."""

import ctypes
import os
import sys
from typing import Annotated, Literal

import torch
from pydantic import Field

from handwriting.core import params
from handwriting.core.errors import InputError

_TRAINING_MEMORY = 2 << 30  # bytes of a GPU that one training and its context may need


@params.section
class Compute:
    """Each of these changes the last digits of every weight: a run with others has its own bits."""

    device: Literal["cpu", "cuda"]
    precision: Literal["float32", "bfloat16"]  # of the convolutions
    threads: Annotated[int, Field(gt=0, le=1024)]  # of one training; trainings run side by side
    processes: Annotated[int, Field(gt=0, le=1024)]  # of this machine that share each training

    @property
    def dtype(self) -> torch.dtype:
        """torch's name of the precision."""
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    @property
    def torch_device(self) -> torch.device:
        """Where this process computes: of several GPUs, the one that configure_torch() gave it."""
        if self.device == "cuda":
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("cpu")

    def room(self) -> int:
        """How many trainings the GPUs have memory for at once."""
        memory = (
            torch.cuda.get_device_properties(i).total_memory
            for i in range(torch.cuda.device_count())
        )
        return sum(max(1, each // _TRAINING_MEMORY) for each in memory)

    def configure_torch(self, number: int = 0) -> None:
        """Set torch's global state, once in each process, of those side by side the `number`th.

        Raises InputError without the device, or with fewer GPUs than processes that share one
        training.
        """
        if self.device == "cuda":
            if not torch.cuda.is_available():
                raise InputError("params.yaml: compute.device is cuda, and torch finds no GPU here")
            if (found := torch.cuda.device_count()) < self.processes:
                few = f"compute.processes is {self.processes}, and torch finds {found} GPUs here"
                raise InputError(f"params.yaml: {few}")
            torch.cuda.set_device(number % found)
        torch.set_num_threads(self.threads)
        torch.backends.cudnn.allow_tf32 = False  # float32 is what it says
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.set_deterministic_debug_mode("error")  # without the compiler that
        # use_deterministic_algorithms() imports, in two seconds of each process
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        keep_freed_memory()

    def warn_if_slow(self) -> None:
        """Say so where this CPU has no arithmetic for bfloat16."""
        found = torch.cpu.get_capabilities()
        fast = any(found.get(f"{kind}bf16") for kind in ("avx512_", "amx_", "", "sve_"))
        if (self.device, self.precision, fast) == ("cpu", "bfloat16", False):
            where = "params.yaml: compute.precision is bfloat16"
            print(f"{where}, which this CPU has no hardware for: slow", file=sys.stderr)


def keep_freed_memory() -> None:
    """Let glibc reuse large blocks instead of returning them: fewer page faults, up to 1.8 times
    the speed in float32. Other C libraries have no such setting."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if sys.platform == "linux" and mallopt:
        trim_threshold, mmap_threshold = -1, -3
        mallopt(mmap_threshold, 32 << 20)
        mallopt(trim_threshold, 512 << 20)
