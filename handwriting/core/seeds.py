"""Every random stream of the project: a seed for each (purpose, seed, index)."""

import hashlib


def number(purpose: str, seed: int, index: int = 0) -> int:
    """Return the 64-bit seed of a random stream: another one for each purpose, seed and index."""
    digest = hashlib.sha256(f"{seed}/{index}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little")
