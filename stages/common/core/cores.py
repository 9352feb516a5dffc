"""How many processors this process may use."""

import os


def available() -> int:
    """The cores of this process's affinity mask; of the machine where there is no such thing."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
