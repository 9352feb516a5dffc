"""The pipeline as a drawing: where each stage stands, and what follows what."""

from typing import NamedTuple

_WIDE, _HIGH, _GAP_X, _GAP_Y = 182, 44, 34, 22

# From left to right, from the top; a test holds this against dvc.yaml.
COLUMNS: tuple[dict[str, str], ...] = (
    {"download": "link or sample", "unzip": "one tar each"},
    {"preprocess": "uint8 tensors", "preprocess-characters": "framed by the ink"},
    {
        "train": "62 classes, shipped",
        "crossvalidate": "known and new hands",
        "pretrain": "three starts",
        "audit": "what is wrong",
    },
    {"finetune": "MNIST", "naive": "labels as they are", "correct": "labels as audited"},
    {
        "evaluate-characters": "question one",
        "evaluate-digits": "questions two, three",
        "evaluate-transfer": "question two",
        "match": "question three, after",
    },
    {"report": "this page"},
)
FOLLOWS = (
    ("download", "unzip"),
    ("unzip", "preprocess"),
    ("unzip", "preprocess-characters"),
    ("preprocess", "audit"),
    ("preprocess-characters", "train"),
    ("preprocess-characters", "crossvalidate"),
    ("preprocess-characters", "pretrain"),
    ("pretrain", "finetune"),
    ("pretrain", "correct"),
    ("pretrain", "audit"),
    ("pretrain", "naive"),
    ("audit", "correct"),
    ("train", "evaluate-characters"),
    ("crossvalidate", "evaluate-characters"),
    ("finetune", "evaluate-digits"),
    ("finetune", "evaluate-transfer"),
    ("naive", "evaluate-digits"),
    ("correct", "evaluate-digits"),
    ("correct", "match"),
    ("match", "evaluate-transfer"),
    ("evaluate-characters", "report"),
    ("evaluate-digits", "report"),
    ("evaluate-transfer", "report"),
    ("match", "report"),
)


class Box(NamedTuple):
    """A stage in the drawing: its name, what it makes, and its left upper corner."""

    name: str
    makes: str
    x: int
    y: int


def drawing() -> dict[str, object]:
    """For the template, in pixels: boxes, arrows (x1, y1, x2, y2), and the size of it all."""
    tallest = max(map(len, COLUMNS))
    boxes = {}
    for i, column in enumerate(COLUMNS):
        down = (tallest - len(column)) * (_HIGH + _GAP_Y) // 2
        for j, (name, makes) in enumerate(column.items()):
            boxes[name] = Box(name, makes, i * (_WIDE + _GAP_X), down + j * (_HIGH + _GAP_Y))
    arrows = []
    for first, then in FOLLOWS:
        one, other = boxes[first], boxes[then]
        if one.x == other.x:
            below = one.y < other.y
            start, end = (one.y + _HIGH, other.y) if below else (one.y, other.y + _HIGH)
            arrows.append((one.x + _WIDE // 2, start, other.x + _WIDE // 2, end))
        else:
            arrows.append((one.x + _WIDE, one.y + _HIGH // 2, other.x, other.y + _HIGH // 2))
    return {
        "boxes": list(boxes.values()),
        "arrows": arrows,
        "box": (_WIDE, _HIGH),
        "width": len(COLUMNS) * (_WIDE + _GAP_X) - _GAP_X,
        "height": tallest * (_HIGH + _GAP_Y) - _GAP_Y,
    }
