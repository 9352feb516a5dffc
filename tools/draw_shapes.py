"""`python -m tools.draw_shapes FOLDER`: draw a set of images to try `handwriting source add` with.

shapes.zip has five shapes, 40 images each. doubtful.zip has others of them, among which the labels
square and triangle are exchanged.
"""

import io
import math
import zipfile
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

from tools import program

SHAPES = {"circle": (24, 1), "cross": (4, 2), "square": (4, 1), "star": (5, 2), "triangle": (3, 1)}
EXCHANGED = {"square": "triangle", "triangle": "square"}
IMAGES = 40  # of each shape


def drawn(shape: str, random: Random) -> bytes:
    """Return a PNG of a shape in black pen, of any size, place and angle."""
    points, step = SHAPES[shape]
    x, y, radius = random.uniform(60, 100), random.uniform(60, 100), random.uniform(25, 50)
    turn, width = random.uniform(-0.3, 0.3), random.randint(4, 9)
    angles = [turn + 2 * math.pi * i / points for i in range(points)]
    corners = [(x + radius * math.sin(each), y - radius * math.cos(each)) for each in angles]
    image = Image.new("L", (160, 160), 255)
    for i, corner in enumerate(corners):
        line = (corner, corners[(i + step) % points])
        ImageDraw.Draw(image).line(line, fill=0, width=width, joint="curve")
    image.save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def main(folder: list[str]) -> None:
    """Write both archives."""
    [name], random = folder, Random(0)  # noqa: S311 - nothing is secret here
    Path(name).mkdir(parents=True, exist_ok=True)
    for archive, labels in (("shapes", {}), ("doubtful", EXCHANGED)):
        with zipfile.ZipFile(Path(name, f"{archive}.zip"), "w") as written:
            for shape in SHAPES:
                for _ in range(IMAGES):
                    number = random.randrange(10**6)  # which tells nothing of the shape
                    path = f"{archive}/{labels.get(shape, shape)}/{number:06d}.png"
                    written.writestr(path, drawn(shape, random))


if __name__ == "__main__":
    program.run(main)
