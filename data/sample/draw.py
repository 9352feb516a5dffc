"""Draw the embedded sample: six small files in the layouts of the real data, from a seeded pen.

    python data/sample/draw.py [FOLDER]         (default: the folder of this script)

trainPart1.zip   62 classes x 16 images, each by 16 of 20 writers, 1200x900 RGB, black on white
*-ubyte.gz       3,000 train and 1,000 test digits in MNIST's idx format and normalisation
mnistTask3.zip   the 3,000 train digits as JPEG, in folders named by a complementary label
SHA256SUMS       of those six files
CONTENT_DIGESTS  of the two archives: one sha256 over the members, however they are packed

Every image is pen strokes: a skeleton from GLYPHS, bent and placed by a hand (a writer's style)
and by chance, then stamped with a round pen. Every image has random streams of its own, keyed by
what it is, so none depends on what was drawn before it. Positions are rounded to whole pixels
before the pen touches the canvas, and all that follows is done in integers, so that the last digit
of a float cannot show.
"""

import gzip
import hashlib
import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

Points = NDArray[np.float64]  # (n, 2): x to the right and y downwards
Mask = NDArray[np.bool_]  # (height, width): True where there is ink
Pixels = NDArray[np.uint8]

SEED = 62
CLASSES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # Sample001 to Sample062
WRITERS, WRITERS_NAMED, IMAGES_PER_CLASS = 20, 55, 16
HANDS = {"train": 60, "t10k": 20}  # of the idx files; none of them writes in the archive
TAKES = 5  # how often each of those hands writes each digit
SPREAD = 2.2  # how much further apart those hands lie than the archive's, and how much untidier
TRUE_FOLDERS = (2, 5, 8)  # each of these complementary folders also holds one of its own digit

# The archive is drawn at half size and doubled: finer edges would only cost bytes.
CANVAS, CAP_HEIGHT = (450, 600), 195  # pixels of that half size
MIDDLE = (240, 293)  # where the archive's ink is centred, (y, x); a little high and to the left
PENS = (33, 44)  # diameters of the real archive's two pens
THICK = (2, 23)  # the writers with the thick one
STRAY_DOT = 0.015  # chance of a tap of the pen far from the letter, as the real archive has

# A glyph is one or more habits, split by "|"; a habit is strokes, split by "/"; a stroke is points.
# A point is a column, 0 to 9 tenths of the height of a capital, and a row, a letter:
# a = top of capitals, g = top of small letters, p = baseline, u = foot of the descenders.
# The pen runs smoothly through the points; a row in upper case is a sharp corner. Habits that come
# first are the commoner.
GLYPHS = {
    "0": "3a 0e 0l 3p 6l 6e 3a | 3a 1d 0k 2o 4p 5l 5d 3a | 4b 2b 0h 1o 4p 6k 5d 3a",
    "1": "3a 3p | 1e 3A 3p | 1d 3A 3p / 0p 6p",
    "2": "0d 2a 5b 5f 3k 0P 6p | 0d 2a 5b 5g 2n 0o 1m 3n 6p | 0b 3a 5d 3i 0P 3o 6p",
    "3": "0c 2a 5b 5e 2H 5i 6m 3p 0n | 0c 2a 5b 5e 2h 5j 5m 3p 0n | 0a 5A 2G 5i 6l 4p 0o",
    "4": "2a 0J 6j / 4e 4p | 1a 0I 5i / 5a 5p | 4p 4A 0K 6k | 3a 0K 7k / 5g 4p",
    "5": "1a 0G 3f 6i 5n 3p 0o / 1a 6a | 5a 1A 0G 3f 6j 4o 0o | 5a 1b 0f 3g 5j 5n 2p 0n",
    "6": "5a 2d 0k 1o 3p 5n 5k 3i 1j 0l | 5b 3a 1d 0k 2p 5n 5j 3i 0l | 3a 1f 0l 2p 5n 4j 0k",
    "7": "0a 6A 2p | 0a 6A 2p / 1h 6h | 0c 0A 6A 3h 2p | 0b 3a 6A 4g 3p / 2i 6h",
    "8": "5b 4a 2a 1d 2f 5j 6m 4p 2p 0m 1j 5f 6c 4a 3a | 4a 1b 1e 5i 6m 4p 2p 0n 1j 5f 6d 5a 3a",
    "9": "5c 2a 0e 2h 4g 5B 5p | 5d 3a 0d 1h 4h 5c 5k 3p 0o | 5b 2a 0e 2i 5d 4p",
    "A": "0p 3A 6p / 1k 5k | 3a 0p / 3a 6p / 0j 6j | 0p 1d 3a 5d 6p / 0j 6j",
    "B": "0a 0p / 0a 3a 5d 3g 0H 4h 6l 4p 0p | 0p 0A 4b 4f 1H 5j 5n 0p",
    "C": "6c 5a 3a 1d 0i 2o 5p 7n | 5b 2b 0h 1n 4p 6o | 6a 6D 3a 0f 1n 4p 7n",
    "D": "0a 0p / 0a 4b 6h 4o 0p | 0P 0A 4b 6i 4o 0p | 1a 1p / 0a 4a 7h 4o 0p",
    "E": "0a 0P 5p / 0a 5a / 0h 4h | 5a 0A 0P 5p / 0h 4h | 5b 2a 0e 3H 0l 2p 6o",
    "F": "0a 0p / 0a 5a / 0h 4h | 5a 0A 0p / 0h 4h | 0b 6a / 2a 1p / 0i 5h",
    "G": "6c 4a 1d 0i 2o 4p 6M 6J 3j | 5b 2b 0h 2p 5o 5J 3j 7j | 6b 3a 0g 1o 4p 6k / 3j 6J 6p",
    "H": "0a 0p / 6a 6p / 0h 6h | 1a 0p / 6a 5p / 0i 6g",
    "I": "0a 6a / 3a 3p / 0p 6p | 3a 3p | 1a 5a / 3a 3p / 1p 5p",
    "J": "5a 5l 3p 0m / 2a 8a | 5a 5l 3p 0n | 4a 4m 2p 0n / 1a 6a",
    "K": "0a 0p / 5a 0I 6p | 0a 0p / 5a 1H / 1h 6p | 1a 1p / 6b 1J 2i 6p",
    "L": "0a 0P 5p | 1a 0k 0P 6p | 0a 0P 5o",
    "M": "0p 0A 3J 6A 7p | 0p 1A 4P 7A 8p | 0p 0a 0A 4i 8A 8p",
    "N": "0p 0A 6P 6a | 0p 1A 5P 6a | 0a 0p / 0a 6p / 6a 6p",
    "O": "4a 1c 0h 1n 4p 7n 8h 7c 4a | 4a 0e 0l 4p 8l 8e 4a | 3a 0e 0l 3p 6n 7h 4a",
    "P": "0a 0p / 0a 4a 6d 4h 0i | 0p 0A 4b 5f 0i",
    "Q": "4a 1c 0h 1n 4p 7n 8h 7c 4a / 5l 8q | 3a 0e 0l 3p 6n 7h 5b 2a / 3m 5l 7p 9o",
    "R": "0a 0p / 0a 4a 6d 4h 0I 6p | 0P 0A 4b 5f 0I 5p | 1a 1p / 0b 4a 5d 1H 6p",
    "S": "6c 3a 0d 2g 5j 6m 3p 0n | 5b 2a 0e 3h 6l 4p 0o | 6b 4a 1c 1f 5j 6n 2p 0n",
    "T": "0a 7a / 3a 3p | 0b 8a / 4a 3p",
    "U": "0a 0j 2p 4p 6k 6a | 0a 0l 3p 6l 6a | 0a 0k 2p 5n 6A 6p",
    "V": "0a 3P 6a | 0a 2n 3p 4n 6a | 0a 3P 5b 7a",
    "W": "0a 2P 4E 6P 8a | 0a 1n 2p 4g 5p 7n 8a | 0a 2P 4A 6P 8a",
    "X": "0a 6p / 6a 0p | 0b 2c 4n 6p / 6a 0p",
    "Y": "0a 3H 3p / 6a 3h | 0a 3h / 6a 1p | 0a 1g 4h 6A 6m 3p 0o",
    "Z": "0a 6A 0P 6p | 0a 6A 0P 6p / 1h 5h | 0b 2a 6A 0P 3o 6p",
    "a": "5i 3g 0j 0n 2p 4n 5H 5m 6p | 5i 2g 0k 1o 3p 5l / 5g 5p | 1h 3g 5i 5p / 5k 2k 0n 2p 5n",
    "b": "0a 0p / 0k 3g 5j 5m 3p 0n | 1a 0P 0k 3h 5k 4o 2p 0o | 1a 0h 0n 2p 4p 5m 3j 0l",
    "c": "5i 3g 1h 0k 0m 2p 3p 5o | 4h 1h 0l 2p 5n | 5h 2g 0l 3p 5n",
    "d": "5a 5p / 5j 2g 0k 0n 2p 5n | 5i 2g 0k 1o 3p 5l 5A 5o 6p | 4i 1h 0m 2p 5m 5A 5n 7p",
    "e": "0k 4k 5j 5h 3g 1h 0k 1o 3p 6o | 0m 4k 5h 3g 1h 0l 2p 6n | 0l 5K 4h 3g 1h 0l 2p 6o",
    "f": "5b 3a 2d 2p / 0h 5h | 5b 3a 2f 2u / 0h 5h | 0m 4d 3a 2e 2r 3u 4q 2l 5k",
    "g": "5i 3g 0j 1o 3o 5H 5r 3u 0s | 5i 2g 0k 3o 5H 4s 2u 0s 5o",
    "h": "0a 0p / 0k 3g 5j 5p | 0a 0P 0l 2g 4i 5p | 0m 3c 2a 0e 0P 2i 4i 4o 6p",
    "i": "2g 2p / 2c | 1g 1n 2p 3o / 1c | 0k 2G 2o 4p 5o / 2c",
    "j": "3g 3s 1u 0s / 3c | 1g 3G 3r 2u 0t / 3c | 1g 3G 3s 1u 0s 5n / 3c",
    "k": "0a 0p / 4g 0L 5p | 0a 0p / 4g 0l / 1k 5p | 0a 0P 0k 3h 4j 1l 5p",
    "l": "2a 2p | 2a 2m 3p 4o | 0m 3d 2a 1e 1m 2p 5n",
    "m": "0g 0P 0k 2g 3i 3P 3j 5g 7i 7p | 0g 0p / 0j 2g 4i 4p / 4j 6g 8i 8p | 0g 0P 2g 3P 5g 6n 8p",
    "n": "0g 0P 0k 2g 4h 5p | 0g 0P 1j 3g 5j 5o 7p | 0g 0p / 0j 3g 5j 5p",
    "o": "3g 0i 0m 3p 6m 6i 3g | 3g 1h 0k 1o 3p 5n 5i 3g 2g | 3g 0j 1o 3p 5m 5i 3g 5i 7h",
    "p": "0g 0u / 0j 3g 5j 4o 2p 0n | 0g 0U 0k 3g 5j 4o 0o | 1h 1t / 0i 3g 5j 4n 1n",
    "q": "5i 3g 0j 1o 3o 5H 5u | 5i 2g 0k 2o 5H 5U 8q | 5i 2g 0k 2o 5H 5u / 3r 7r",
    "r": "0g 0P 0k 2g 5h | 0g 0p / 0k 2g 5h | 0h 1f 2h 5h 4m 5p 7o",
    "s": "5h 2g 0i 3k 5n 2p 0o | 4h 1g 0j 4l 5o 0p | 0p 3g 3h 5m 4p 1p",
    "t": "2b 2p / 0g 4g | 2b 2m 3p 5o / 0g 5g | 3b 2p / 0h 5f",
    "u": "0g 0m 2p 4n 5G 5p | 0g 0n 2p 5n 5g | 0g 0m 2p 4o 5G 5n 7p",
    "v": "0g 2P 5g | 0g 1m 2p 4m 5g | 0g 2P 4h 7g",
    "w": "0g 2P 4I 5P 7g | 0g 0n 2p 4l 4h 4m 6p 7n 7g | 0g 1o 2p 4j 5p 7o 8g",
    "x": "0g 5p / 5g 0p | 0h 2g 3k 3n 5p 7o / 6g 4h 2o 0p",
    "y": "0g 3n / 6g 1u | 0g 0m 2p 4m 5G 5r 3u 0s | 0g 0m 2o 5G 4s 2u 1s 6o",
    "z": "0g 5G 0P 5p | 0h 2g 5G 0P 3o 6p",
}


def stream(*key: str | int) -> np.random.Generator:
    """The random numbers of one thing, named by its key."""
    return np.random.Generator(np.random.PCG64([SEED, *(crc32(str(k).encode()) for k in key)]))


@dataclass(frozen=True)
class Hand:
    """How one writer writes; lengths are in heights of a capital, angles are tangents."""

    group: str  # "archive", or a split of the idx files
    number: int
    pen: float  # diameter, in the idx files only
    size: float
    small: float  # of small letters, against capitals
    aspect: float
    slant: float
    turn: float
    place: tuple[float, float]  # (x, y)
    wobble: float  # 1 is usual, more is untidy


def make_hand(group: str, number: int, spread: float) -> Hand:
    """The style of a writer; `spread` 1 is how far the hands of the archive lie apart."""
    rng = stream("hand", group, number)
    size, aspect, slant, turn, x, y = np.clip(rng.normal(size=6), -2, 2)
    return Hand(
        group=group,
        number=number,
        pen=float(rng.uniform(0.095, 0.19)),
        size=float(1 + 0.15 * size),
        small=float(rng.uniform(0.85, 1.1)),
        aspect=float(1.04 + 0.09 * spread * aspect),
        slant=float(0.08 + 0.14 * spread * slant),
        turn=float(0.03 * spread * turn),
        place=(float(0.11 * x), float(0.10 * y)),
        wobble=float(rng.uniform(0.6, 1.4) * spread),
    )


def spline(points: Points, times: NDArray[np.float64], closed: bool = False) -> Points:
    """The Catmull-Rom curve through `points` (n, 2) at `times` (m,) from 0 to n - 1 -> (m, 2)."""
    if len(points) == 1:
        return np.repeat(points, len(times), axis=0)
    ends = points[[-2, 1]] if closed else 2 * points[[0, -1]] - points[[1, -2]]
    padded = np.concatenate([ends[:1], points, ends[1:]])
    left = np.minimum(times.astype(np.int64), len(points) - 2)
    t = (times - left)[:, None]
    a, b, c, d = (padded[left + k] for k in range(4))
    square, cube = 2 * a - 5 * b + 4 * c - d, 3 * b - a - 3 * c + d
    curve: Points = b + 0.5 * t * (c - a + t * (square + t * cube))
    return curve


def trace(stroke: str, wobble: float, rng: np.random.Generator) -> Points:
    """One stroke as dense points (m, 2) in heights of a capital, the baseline at y = 0."""
    names = stroke.split()
    points = np.array([(int(n[0]) / 10, (ord(n[1].lower()) - ord("p")) / 15) for n in names])
    points = points + rng.normal(scale=0.016 * wobble, size=points.shape)
    inner = [i for i, n in enumerate(names) if n[1].isupper()]
    cuts = [0, *inner, len(names) - 1]
    pieces = [points[a : b + 1] for a, b in pairwise(cuts)]
    closed = names[0] == names[-1]  # then it is as round there as elsewhere
    times = [np.linspace(0, len(p) - 1, 40 * (len(p) - 1) + 1) for p in pieces]
    line = np.concatenate([spline(p, t, closed) for p, t in zip(pieces, times, strict=True)])
    # The pen also drifts slowly along its way, or straight lines would be ruled.
    drift = spline(rng.normal(scale=0.010 * wobble, size=(4, 2)), np.linspace(0, 3, len(line)))
    return line + drift


def bend(points: Points, scale: float, rng: np.random.Generator) -> Points:
    """Push a 3 x 3 lattice over the glyph about at random, and the (n, 2) points along with it."""
    nodes = rng.normal(scale=scale, size=(3, 3, 2))
    low, high = points.min(axis=0), points.max(axis=0)
    u = (points - low) / np.maximum(high - low, 0.3)
    weights = np.stack([(1 - u) * (1 - u), 2 * u * (1 - u), u * u])  # Bernstein, (3, n, 2)
    push: Points = np.einsum("in,jn,ijc->nc", weights[..., 0], weights[..., 1], nodes)
    return points + push


def write(char: str, hand: Hand, rng: np.random.Generator) -> Points:
    """`char` in this hand, as points (n, 2) in heights of a capital, its baseline at y = 0."""
    habits = GLYPHS[char].split("|")
    habit = stream("habit", hand.group, hand.number, char)
    n = len(habits)
    usual, now = min(habit.integers(n, size=2)), min(rng.integers(n, size=2))
    strokes = habits[usual if rng.random() < 0.85 else now].split("/")
    points = np.concatenate([trace(s, hand.wobble, rng) for s in strokes])
    points = bend(points, 0.035, habit)  # the writer's own shape of this glyph
    points = bend(points, 0.035 * hand.wobble, rng)
    aspect, slant, turn, size = rng.normal(scale=(0.07, 0.05, 0.05, 0.11))
    size = np.clip(hand.size + size, 0.6, 1.4) * (hand.small if char.islower() else 1)
    x, y = points.T * size
    x = x * (hand.aspect + aspect) - y * (hand.slant + slant)
    turn += hand.turn
    return np.stack([x - turn * y, y + turn * x], axis=1)


def stamp(points: Points, shape: tuple[int, int], diameter: int) -> Mask:
    """Press a round pen on a (height, width) canvas; `points` (n, 2) are its upper left corners."""
    side = 2 * np.arange(diameter) - (diameter - 1)
    disc = side[:, None] ** 2 + side**2 <= diameter**2
    canvas = np.zeros(shape, dtype=np.bool_)
    for x, y in np.unique(np.rint(points).astype(np.int64), axis=0):
        canvas[y : y + diameter, x : x + diameter] |= disc
    return canvas


def character_image(char: str, hand: Hand) -> Pixels:
    """One image of the archive: (900, 1200) uint8, only 0 (ink) and 255."""
    rng = stream("image", hand.group, hand.number, char)
    points = write(char, hand, rng)
    # Writers half keep to a baseline and half to the middle of the screen.
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    points = points - middle + (0, 0.45 * (middle[1] + 0.38))
    points = (points + hand.place + rng.normal(scale=(0.13, 0.10))) * CAP_HEIGHT + MIDDLE[::-1]
    diameter = PENS[hand.number in THICK]
    room = np.array(CANVAS[::-1]) - diameter - 3
    points = points - diameter / 2
    points += np.maximum(2 - points.min(axis=0), 0) - np.maximum(points.max(axis=0) - room, 0)
    if rng.random() < STRAY_DOT:
        points = np.concatenate([points, rng.uniform((0.66, 0.02), (0.74, 0.11), (1, 2)) * room])
    ink = stamp(points, CANVAS, diameter).repeat(2, axis=0).repeat(2, axis=1)
    return np.where(ink, 0, 255).astype(np.uint8)


def digit_image(digit: int, hand: Hand, take: int) -> Pixels:
    """One digit normalised as MNIST's are: (28, 28) uint8, white on black, ink in a 20 x 20 box."""
    rng = stream("image", hand.group, hand.number, digit, take)
    points = write(str(digit), hand, rng) * 160
    diameter = round(160 * hand.pen * rng.uniform(0.85, 1.15))
    points = points - points.min(axis=0)
    width, height = (int(n) + diameter + 1 for n in points.max(axis=0))
    ink = Image.fromarray(stamp(points, (height, width), diameter).astype(np.uint8) * 255)
    ink = ink.crop(ink.getbbox())
    longest = max(ink.size)
    width, height = (max(1, (40 * n + longest) // (2 * longest)) for n in ink.size)
    small = np.asarray(ink.resize((width, height), Image.Resampling.BOX), dtype=np.uint8)
    canvas = np.zeros((28, 28), dtype=np.uint8)
    top, left = centring(small, axis=1), centring(small, axis=0)
    canvas[top : top + height, left : left + width] = small
    return canvas


def centring(ink: Pixels, axis: int) -> int:
    """Where to put `ink` in 28 pixels so that its centre of mass is the middle, in integers."""
    mass = ink.sum(axis=axis, dtype=np.int64)
    total, moment = int(mass.sum()), int(mass @ np.arange(len(mass)))
    offset = (28 * total - 2 * moment) // (2 * total)  # 13.5 - moment / total, rounded
    return min(max(offset, 0), 28 - len(mass))


def png(grey: Pixels) -> bytes:
    """(height, width) uint8 -> an RGB PNG.

    By hand, because Pillow cannot be told to store each row as its difference to the row above,
    which saves a third of the archive.
    """

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc32(name + body))

    height, width = grey.shape
    rows = np.diff(grey.repeat(3, axis=1), axis=0, prepend=np.uint8(0))  # modulo 256
    body = np.pad(rows, ((0, 0), (1, 0)), constant_values=2).tobytes()  # 2 is that filter, "up"
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def jpeg(grey: Pixels) -> bytes:
    """(28, 28) uint8 -> a JPEG with the real archive's quantisation table."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=75, optimize=True)
    return buffer.getvalue()


def draw_characters() -> dict[str, bytes]:
    """The members of trainPart1.zip, by path."""
    names = 1 + stream("writers").permutation(WRITERS_NAMED)[:WRITERS]
    hands = [make_hand("archive", int(n), spread=1.0) for n in names]
    members = {}
    for number, char in enumerate(
        tqdm(CLASSES, desc="trainPart1", unit="class", disable=None), start=1
    ):
        for i in stream("writers", char).permutation(WRITERS)[:IMAGES_PER_CLASS]:
            path = f"train/Sample{number:03d}/img{number:03d}-{hands[i].number:03d}.png"
            members[path] = png(character_image(char, hands[i]))
    return members


def draw_digits(split: str) -> tuple[Pixels, Pixels]:
    """The images (n, 28, 28) uint8 and labels (n,) uint8 of an idx split, in random order."""
    hands = [make_hand(split, k, spread=SPREAD) for k in range(HANDS[split])]
    bar = tqdm(hands, desc=split, unit="hand", disable=None)
    rows = [(digit_image(d, h, t), d) for h in bar for d in range(10) for t in range(TAKES)]
    order = stream("order", split).permutation(len(rows))
    images = np.stack([rows[i][0] for i in order])
    return images, np.array([rows[i][1] for i in order], dtype=np.uint8)


def complementary(images: Pixels, labels: Pixels) -> dict[str, bytes]:
    """The members of mnistTask3.zip, by path: a folder is a digit that its images are not.

    One image each of TRUE_FOLDERS is the exception, as 0.1% are in the real archive.
    """
    true = {int(stream("true", d).choice(np.flatnonzero(labels == d))) for d in TRUE_FOLDERS}
    members = {}
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        wrong = 0 if i in true else int(stream("folder", i).integers(1, 10))
        members[f"mnistTask/{(int(label) + wrong) % 10}/image_{i:06d}.jpg"] = jpeg(image)
    return members


def idx(array: Pixels) -> bytes:
    """A uint8 array in MNIST's format: magic number, sizes, bytes; gzip without name or time."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape))
        file.write(array.tobytes())
    return buffer.getvalue()


def pack(members: Mapping[str, bytes]) -> bytes:
    """A zip of the members and their folders, sorted, without the time or the user's attributes."""
    folders = {f"{f}/" for path in members for f in PurePosixPath(path).parents if f.name}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for path in sorted(folders | set(members)):
            entry = zipfile.ZipInfo(path)  # dated 1980-01-01
            entry.create_system = 3  # Unix, also when drawn elsewhere
            entry.external_attr = (0o40755 << 16 | 0x10) if path in folders else 0o100644 << 16
            # Deflated, though the images already are: long white runs pack a second time.
            entry.compress_type = zipfile.ZIP_STORED if path in folders else zipfile.ZIP_DEFLATED
            file.writestr(entry, members.get(path, b""), compresslevel=9)
    return buffer.getvalue()


def sha256(data: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def content_digest(members: Mapping[str, bytes]) -> str:
    """The sha256 of one line per member, sorted by path: what is packed, however it is packed."""
    return sha256("".join(f"{sha256(members[p])}  {p}\n" for p in sorted(members)).encode())


def main() -> None:
    """Draw everything into the folder named on the command line."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    train, test = draw_digits("train"), draw_digits("t10k")
    archives = {"trainPart1.zip": draw_characters(), "mnistTask3.zip": complementary(*train)}
    files = {name: pack(members) for name, members in archives.items()}
    for split, (images, labels) in (("train", train), ("t10k", test)):
        files[f"{split}-images-idx3-ubyte.gz"] = idx(images)
        files[f"{split}-labels-idx1-ubyte.gz"] = idx(labels)
    sums = {name: sha256(data) for name, data in files.items()}
    digests = {name: content_digest(members) for name, members in archives.items()}
    for name, table in (("SHA256SUMS", sums), ("CONTENT_DIGESTS", digests)):
        text = "".join(f"{table[file]}  {file}\n" for file in sorted(table))
        files[name] = text.encode()
        print(f"{name}\n{text}", end="")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
