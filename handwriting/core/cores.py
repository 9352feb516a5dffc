"""How many processors this process may use."""


def available() -> int:
    """The cores of this process's affinity mask, or of its container's quota if these are fewer."""
    from joblib import cpu_count  # takes a fifth of a second, which few stages need

    return int(cpu_count())
