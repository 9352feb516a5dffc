"""Framed images between the archive and the splits, in bounded memory."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import NDArray

from handwriting.data.duplicates import Digests

_RUN = 64 << 20  # bytes of pixels in memory: 80,000 images of 28 x 28
_BLOCK = 4 << 20  # bytes of pixels read or written at a time


class Pixels:
    """Images by their index, appended in that order. close() gives their disk space back.

    Up to _RUN bytes stay in memory. More are in a scratch file without a name, in runs of _RUN
    bytes that are each sorted by key. So a block of images in the order of their keys is one
    stretch of each run: reading all of them in that order needs few seeks and one block of memory.
    """

    def __init__(self, scratch: Path, count: int, side: int) -> None:
        """Expect about `count` images of `side` x `side` pixels."""
        self._scratch, self._image = scratch, side * side
        size = max(1, min(count, _RUN // self._image))
        self._images = np.empty((size, 1, side, side), np.uint8)
        self._keys = np.empty(size, np.uint64)
        self._held = self._stored = 0  # images in memory, in the file
        self._places = list[NDArray[np.intp]]()  # of each image in the file, by runs
        self._file: IO[bytes] | None = None

    def append(self, images: NDArray[np.uint8], keys: Digests) -> None:
        """Add uint8 [n, side, side] with the keys by whose order they will be read, uint64 [n]."""
        while len(images):
            if self._held == len(self._images):
                self._store()
            held = slice(self._held, self._held + len(images))
            taken = len(self._keys[held])
            self._images[held, 0], self._keys[held] = images[:taken], keys[:taken]
            self._held += taken
            images, keys = images[taken:], keys[taken:]

    def rows(self, chosen: NDArray[np.intp]) -> Iterator[NDArray[np.uint8]]:
        """Yield the images of these indices, in this order, in blocks: uint8 [n, 1, side, side]."""
        if self._file and self._held:
            self._store()
            self._images = self._images[:0].copy()
        places = np.concatenate(self._places) if self._places else None
        for start in range(0, len(chosen), step := max(1, _BLOCK // self._image)):
            rows = chosen[start : start + step]
            yield self._images[rows] if places is None else self._read(places[rows])

    def of(self, chosen: NDArray[np.intp]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
        """Return images among which are the chosen ones, uint8 [n, 1, side, side], and their rows.

        What is in memory is not copied.
        """
        if not self._file:
            return self._images[: self._held], chosen
        found, done = np.empty((len(chosen), *self._images.shape[1:]), np.uint8), 0
        for block in self.rows(chosen):
            found[done : (done := done + len(block))] = block
        return found, np.arange(done)

    def close(self) -> None:
        """Remove the scratch file."""
        if self._file:
            self._file.close()

    def _store(self) -> None:
        """Move the images in memory to the file, sorted by key."""
        self._file = self._file or TemporaryFile(dir=self._scratch)  # noqa: SIM115
        order = np.argsort(self._keys[: self._held], kind="stable")
        for start in range(0, self._held, step := max(1, _BLOCK // self._image)):
            self._file.write(self._images[order[start : start + step]].data)
        self._file.flush()
        places = np.empty(self._held, np.intp)
        places[order] = np.arange(self._stored, self._stored + self._held)
        self._places.append(places)
        self._stored, self._held = self._stored + self._held, 0

    def _read(self, places: NDArray[np.intp]) -> NDArray[np.uint8]:
        assert self._file  # noqa: S101
        # Mapped anew for each block: what has been read of a mapping counts as memory.
        shape = (self._stored, *self._images.shape[1:])
        stored = np.memmap(self._file, np.uint8, "r", shape=shape)
        order = np.argsort(places, kind="stable")
        found = np.empty((len(places), *shape[1:]), np.uint8)
        found[order] = stored[places[order]]
        return found
