"""What the networks are trained on: device, precision and threads are settings, never guesses."""

from typing import Annotated, Literal

import torch
from pydantic import Field

from stages.common import params
from stages.common.errors import InputError


@params.section
class Compute:
    """Each of these changes the last digits of every weight: a run with others has its own bits."""

    device: Literal["cpu", "cuda"]
    precision: Literal["float32", "bfloat16"]  # of the convolutions
    threads: Annotated[int, Field(gt=0)]  # of one training; trainings run side by side

    def settle(self) -> None:
        """Set torch's global state, once in each process. Raises InputError without the device."""
        if self.device == "cuda" and not torch.cuda.is_available():
            raise InputError("params.yaml: compute.device is cuda, and torch finds no GPU here")
        torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(True)

    @property
    def dtype(self) -> torch.dtype:
        """torch's name of the precision."""
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32
