"""Draw the embedded sample: six small files in the layouts of the real data, from a seeded pen.

    python data/sample/draw.py [FOLDER]         (default: the folder of this script)

trainPart1.zip   62 classes x 16 images, each by 16 of 20 writers, 1200x900 RGB, black on white
*-ubyte.gz       3,000 train and 1,000 test digits in MNIST's idx format and normalisation
mnistTask3.zip   the 3,000 train digits as JPEG, in folders named by a complementary label
SHA256SUMS       of those six files
CONTENT_DIGESTS  of the two archives: one sha256 over the members, however they are packed

Every image is pen strokes: a skeleton from glyphs.txt, bent and placed by a writer's style and by
chance, then stamped with a round pen. Every image has random streams of its own, keyed by what it
is, so none depends on what was drawn before it. Positions are rounded to whole pixels before the
pen touches the canvas, and all that follows is done in integers, so that the last digit of a float
cannot show.
"""

import gzip
import io
import struct
import sys
import zipfile
from hashlib import sha256
from itertools import pairwise
from pathlib import Path, PurePosixPath
from zlib import compress, crc32

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
DIGIT_WRITERS = {"train": 60, "t10k": 20}  # of the idx files; none of them writes in the archive
TAKES = 5  # how often each of those writers writes each digit
SPREAD = 2.2  # of their styles, 1 being the archive's; also how untidy they are
TRUE_FOLDERS = (2, 5, 8)  # each of these complementary folders also holds one of its own digit

# The archive is drawn at half size and doubled: finer edges would only cost bytes.
CANVAS, CAP_HEIGHT = (450, 600), 195  # pixels of that half size
MIDDLE = (240, 293)  # where the archive's ink is centred, (y, x); a little high and to the left
PENS = (33, 44)  # diameters of the real archive's two pens
THICK = (2, 23)  # the writers with the thick one
STRAY_DOT = 0.015  # chance of a tap of the pen far from the letter, as the real archive has

# What the pen follows, by character; glyphs.txt explains the notation.
_LINES = Path(__file__).with_name("glyphs.txt").read_text(encoding="utf-8").splitlines()
GLYPHS = {line[0]: line[2:] for line in _LINES if line[1] == " " and line[0] != "#"}


def stream(*key: str | int) -> np.random.Generator:
    """The random numbers of one thing, named by its key."""
    return np.random.Generator(np.random.PCG64([SEED, *(crc32(str(k).encode()) for k in key)]))


class Writer:
    """A writer's style; lengths are in heights of a capital, angles are tangents.

    `group` is "archive", or a split of the idx files. `spread` 1 is that of the archive's writers.
    """

    def __init__(self, group: str, number: int, spread: float) -> None:
        rng = stream("hand", group, number)  # the word is a seed: another one draws other writers
        size, aspect, slant, turn, x, y = np.clip(rng.normal(size=6), -2, 2)
        self.group, self.number = group, number
        self.pen = rng.uniform(0.095, 0.19)  # diameter, in the idx files only
        self.size = 1 + 0.15 * size
        self.lower = rng.uniform(0.85, 1.1)  # size of lower-case letters, relative to capitals
        self.aspect = 1.04 + 0.09 * spread * aspect
        self.slant = 0.08 + 0.14 * spread * slant
        self.turn = 0.03 * spread * turn
        self.position = (0.11 * x, 0.10 * y)
        self.wobble = rng.uniform(0.6, 1.4) * spread  # 1 is usual, more is untidy


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


def write(char: str, writer: Writer, rng: np.random.Generator) -> Points:
    """`char` by this writer, as points (n, 2) in heights of a capital, its baseline at y = 0."""
    habits = GLYPHS[char].split("|")
    habit = stream("habit", writer.group, writer.number, char)
    n = len(habits)
    usual, now = min(habit.integers(n, size=2)), min(rng.integers(n, size=2))
    strokes = habits[usual if rng.random() < 0.85 else now].split("/")
    points = np.concatenate([trace(s, writer.wobble, rng) for s in strokes])
    points = bend(points, 0.035, habit)  # the writer's own shape of this glyph
    points = bend(points, 0.035 * writer.wobble, rng)
    aspect, slant, turn, size = rng.normal(scale=(0.07, 0.05, 0.05, 0.11))
    size = np.clip(writer.size + size, 0.6, 1.4) * (writer.lower if char.islower() else 1)
    x, y = points.T * size
    x = x * (writer.aspect + aspect) - y * (writer.slant + slant)
    turn += writer.turn
    return np.stack([x - turn * y, y + turn * x], axis=1)


def stamp(points: Points, shape: tuple[int, int], diameter: int) -> Mask:
    """Press a round pen on a (height, width) canvas; `points` (n, 2) are its upper left corners."""
    side = 2 * np.arange(diameter) - (diameter - 1)
    disc = side[:, None] ** 2 + side**2 <= diameter**2
    canvas = np.zeros(shape, dtype=np.bool_)
    for x, y in np.unique(np.rint(points).astype(np.int64), axis=0):
        canvas[y : y + diameter, x : x + diameter] |= disc
    return canvas


def character_image(char: str, writer: Writer) -> Pixels:
    """One image of the archive: (900, 1200) uint8, only 0 (ink) and 255."""
    rng = stream("image", writer.group, writer.number, char)
    points = write(char, writer, rng)
    # Writers half keep to a baseline and half to the middle of the screen.
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    points = points - middle + (0, 0.45 * (middle[1] + 0.38))
    points = (points + writer.position + rng.normal(scale=(0.13, 0.10))) * CAP_HEIGHT + MIDDLE[::-1]
    diameter = PENS[writer.number in THICK]
    room = np.array(CANVAS[::-1]) - diameter - 3
    points = points - diameter / 2
    points += np.maximum(2 - points.min(axis=0), 0) - np.maximum(points.max(axis=0) - room, 0)
    if rng.random() < STRAY_DOT:
        points = np.concatenate([points, rng.uniform((0.66, 0.02), (0.74, 0.11), (1, 2)) * room])
    ink = stamp(points, CANVAS, diameter).repeat(2, axis=0).repeat(2, axis=1)
    return np.where(ink, 0, 255).astype(np.uint8)


def digit_image(digit: int, writer: Writer, take: int) -> Pixels:
    """One digit normalised as MNIST's are: (28, 28) uint8, white on black, ink in a 20 x 20 box."""
    rng = stream("image", writer.group, writer.number, digit, take)
    points = write(str(digit), writer, rng) * 160
    diameter = round(160 * writer.pen * rng.uniform(0.85, 1.15))
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
    height, width = grey.shape
    rows = np.diff(grey.repeat(3, axis=1), axis=0, prepend=np.uint8(0))  # modulo 256
    body = np.pad(rows, ((0, 0), (1, 0)), constant_values=2).tobytes()  # 2 is that filter, "up"
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, chunk in (b"IHDR", header), (b"IDAT", compress(body, 9)), (b"IEND", b""):
        content += struct.pack(">I", len(chunk)) + name + chunk
        content += struct.pack(">I", crc32(name + chunk))
    return content


def jpeg(grey: Pixels) -> bytes:
    """(28, 28) uint8 -> a JPEG with the real archive's quantisation table."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=75, optimize=True)
    return buffer.getvalue()


def draw_characters() -> dict[str, bytes]:
    """The members of trainPart1.zip, by path."""
    names = 1 + stream("writers").permutation(WRITERS_NAMED)[:WRITERS]
    writers = [Writer("archive", int(n), spread=1.0) for n in names]
    members = {}
    for number, char in enumerate(tqdm(CLASSES, desc="trainPart1", unit="class", disable=None), 1):
        for i in stream("writers", char).permutation(WRITERS)[:IMAGES_PER_CLASS]:
            path = f"train/Sample{number:03d}/img{number:03d}-{writers[i].number:03d}.png"
            members[path] = png(character_image(char, writers[i]))
    return members


def draw_digits(split: str) -> tuple[Pixels, Pixels]:
    """The images (n, 28, 28) uint8 and labels (n,) uint8 of an idx split, in random order."""
    writers = [Writer(split, k, spread=SPREAD) for k in range(DIGIT_WRITERS[split])]
    bar = tqdm(writers, desc=split, unit="writer", disable=None)
    rows = [(digit_image(d, w, t), d) for w in bar for d in range(10) for t in range(TAKES)]
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
        header = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
        file.write(header + array.tobytes())
    return buffer.getvalue()


def pack(members: dict[str, bytes]) -> bytes:
    """A zip of the members and their folders, sorted, without the time or the user's attributes."""
    folders = {f"{f}/" for path in members for f in PurePosixPath(path).parents if f.name}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for path in sorted(folders | set(members)):
            entry = zipfile.ZipInfo(path)  # dated 1980-01-01
            entry.create_system = 3  # Unix, also when drawn elsewhere
            entry.external_attr = (0o40755 << 16 | 0x10) if path in folders else 0o100644 << 16
            # Deflated, although the images are already: long white runs pack a second time.
            entry.compress_type = zipfile.ZIP_STORED if path in folders else zipfile.ZIP_DEFLATED
            file.writestr(entry, members.get(path, b""), compresslevel=9)
    return buffer.getvalue()


def sums(files: dict[str, bytes]) -> str:
    """The sha256 of each file, a line each, sorted by path."""
    return "".join(f"{sha256(files[path]).hexdigest()}  {path}\n" for path in sorted(files))


def main() -> None:
    """Draw everything into the folder named on the command line."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    train, test = draw_digits("train"), draw_digits("t10k")
    archives = {"trainPart1.zip": draw_characters(), "mnistTask3.zip": complementary(*train)}
    files = {name: pack(members) for name, members in archives.items()}
    for split, (images, labels) in (("train", train), ("t10k", test)):
        files[f"{split}-images-idx3-ubyte.gz"] = idx(images)
        files[f"{split}-labels-idx1-ubyte.gz"] = idx(labels)
    # A content digest is the digest of the members' digests, however they are packed.
    texts = {"SHA256SUMS": sums(files)}
    texts["CONTENT_DIGESTS"] = sums({n: sums(members).encode() for n, members in archives.items()})
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        print(f"{name}\n{text}", end="")
        files[name] = text.encode()
    for name, data in files.items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
