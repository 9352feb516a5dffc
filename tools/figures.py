"""`make figures SOURCE=real`: draw the pictures of README and docs, as SVG of both themes.

Each names the source and the digest of the metrics that it was drawn from; a test holds it to them.

reads   metrics/<source>/, artifacts/<source>/{figures,evaluation}/ (images of characters, digits)
writes  docs/figures/*.svg
"""

import base64
import io
import math
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from handwriting.core.errors import InputError
from handwriting.reporting import charts, ink, verdicts
from handwriting.reporting.mnist import INITS, ordered
from handwriting.reporting.results import Results
from tools import program

FOLDER, TEMPLATES = Path("docs/figures"), Path(__file__).parent / "svg"
NEUTRAL = {  # of the page, as PALETTE is of inits and methods
    "surface": ("#ffffff", "#1e1c1b"),
    "ink": ("#1c1917", "#f5f5f4"),
    "muted": ("#57534e", "#b3ada7"),
    "line": ("#e2dfdb", "#3b3734"),
    "soft": ("#f0eeeb", "#282524"),
}
_NOISE = 34  # of 255: what JPEG leaves around a digit
_COLUMNS = 12  # of a sheet of mistakes
_MISTAKES = 9
_LEAST = 1e-4  # of an error, on its logarithmic axis
_TICKS = (0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.997, 0.998, 0.999)
_MARKS = {
    "random": "M5 0A5 5 0 1 1 -5 0A5 5 0 1 1 5 0Z",
    "digits": "M-4.5 -4.5H4.5V4.5H-4.5Z",
    "characters": "M0 -6L5.5 4.5H-5.5Z",
}
_LEGEND = {"equivalent": "filled no relevant difference", "undecided": "hollow inconclusive"}
_BARS = {
    "mnistTask3-naive": ("Labels used as given", "naive"),
    "mnistTask3-naive-argmin": ("As given, least likely class", "argmin"),
    "mnistTask3-random": ("Forward correction", "forward_correction"),
    "mnist-random": ("Clean labels, for comparison", "clean"),
}


def mnist_task3(results: Results) -> dict[str, Any]:
    """Return what the folders of mnistTask3 hold, and the accuracies that come out of them."""
    oracle = results.json("oracle/summary")
    images = ink.tiles(sheet_of(results, "figures/mnistTask3/folders"), 10).copy()
    images[:: 10 + 1] = 0  # the diagonal is left empty
    images[images < _NOISE] = 0
    bars = [
        {**results.json(name), "what": what, "colour": colour, "reference": colour == "clean"}
        for name, (what, colour) in _BARS.items()
    ]
    counts = results.table("oracle/transitions").set_index("true_class").to_numpy(int).diagonal()
    said = ", ".join(f"{each['what'].lower()} {each['accuracy']:.2%}" for each in bars)
    return {
        "title": "mnistTask3: what its folders hold, and the accuracy that comes out",
        "text": f"One image of each folder and true digit; no diagonal. Accuracy: {said}.",
        "images": oracle["images"],
        "diagonal": " to ".join(map(str, sorted({counts.min(), counts.max()}))),
        "sheet": data_uri(ink.joined(images, 10)),
        "bars": bars,
    }


def mistakes(results: Results) -> dict[str, Any]:
    """Return the worst mistakes of question one, of every pair of classes one."""
    images = ink.tiles(sheet_of(results, "figures/characters/worst"), _COLUMNS)
    rows = results.tiles("characters", "worst")[["actual", "predicted", "confidence"]]
    found, chosen, pairs = list[dict[str, Any]](), list[int](), list[set[str]]()
    for index, (actual, predicted, confidence) in enumerate(rows.itertuples(index=False)):
        pair = {actual.lower(), predicted.lower()}
        if pair not in pairs and len(found) < _MISTAKES:
            pairs.append(pair)
            chosen.append(index)
            shares = {"confidence": float(confidence)}
            found.append({"actual": actual, "predicted": predicted, **shares})
    said = ", ".join(f"{each['actual']} as {each['predicted']}" for each in found)
    return {
        "title": "Nine characters that the network misreads",
        "text": f"Nine images with their label and the answer: {said}.",
        "cells": [(i % 3, i // 3) for i in range(len(found))],
        "mistakes": found,
        "sheet": data_uri(ink.joined(images[chosen], 3)),
    }


def labels_per_class(results: Results) -> dict[str, Any]:
    """Return MNIST's accuracy by labels per class, on a logarithmic axis of the error."""
    rows = results.table("transfer/measures").query("method == 'full' and measure == 'accuracy'")
    order = ordered(rows)
    least, most = (max(1 - each, _LEAST) for each in (rows["low"].min(), rows["high"].max()))
    span = math.log(least / most)
    across = {each: round(95 + 262 * i / (len(order) - 1)) for i, each in enumerate(order)}

    def height(accuracy: float) -> float:
        return round(322 - 230 * math.log(least / max(1 - accuracy, _LEAST)) / span, 1)

    curves = {
        init: [
            (
                across[row["labels"]] + 8 * (i - 1),
                *(height(row[n]) for n in ("mean", "low", "high")),
            )
            for row in sorted(part.to_dict("records"), key=lambda row: order.index(row["labels"]))
        ]
        for i, (init, part) in enumerate(rows.groupby("init", sort=False))
    }
    comparisons = verdicts.primary(results)
    found = [verdicts.relevant(comparisons[each]) for each in order]
    legend = [text for verdict, text in _LEGEND.items() if verdict in found]
    legend += [f"{v} at {each}" for each, v in zip(order, found, strict=True) if v not in _LEGEND]
    return {
        "title": "MNIST accuracy by labels per class, from three inits",
        "text": f"Curves of three inits. Characters against random: {', '.join(found)}.",
        "names": dict(zip(INITS, ("random", "digits", "characters"), strict=True)),
        "marks": _MARKS,
        "ticks": [(height(t), f"{100 * t:g}%") for t in _TICKS if most <= 1 - t <= least],
        "columns": [(x, each if each == "all" else f"{int(each):,}") for each, x in across.items()],
        "curves": curves,
        "verdicts": found,
        "legend": ", ".join(legend),
    }


def label_matrix(results: Results) -> dict[str, Any]:
    """Return how many images of each digit are in each folder of mnistTask3."""
    counts = results.table("oracle/transitions").set_index("true_class").to_numpy(int).T
    return {
        "title": "How many images of each digit are in each folder of mnistTask3",
        "text": f"A matrix of counts, {counts.trace()} of {counts.sum():,} on the diagonal.",
        "rows": counts.tolist(),
        "most": counts.max(),
    }


Drawn = Callable[[Results], dict[str, Any]]
FIGURES: dict[str, tuple[Drawn, tuple[int, int], list[str]]] = {  # by name: size, metrics it is of
    "mnistTask3": (mnist_task3, (840, 452), [*_BARS, "oracle/summary", "oracle/transitions"]),
    "mnistTask3-narrow": (
        mnist_task3,
        (400, 892),
        [*_BARS, "oracle/summary", "oracle/transitions"],
    ),
    "mistakes": (mistakes, (400, 432), ["characters"]),
    "labels-per-class": (labels_per_class, (400, 432), ["transfer/measures", "transfer/answer"]),
    "label-matrix": (label_matrix, (400, 432), ["oracle/transitions"]),
}


def draw(name: str, results: Results) -> str:
    """Return a figure as SVG."""
    content, (width, height), _ = FIGURES[name]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text: str = environment.get_template(template(name).name).render(
        width=width,
        height=height,
        narrow=name.endswith("-narrow"),
        palette=NEUTRAL | charts.PALETTE,
        source=results.source,
        digest=digest(name, results.source),
        **content(results),
    )
    return text


def template(name: str) -> Path:
    """Return the template of a figure."""
    return TEMPLATES / f"{name.removesuffix('-narrow')}.svg.j2"


def digest(name: str, source: str) -> str:
    """Return the digest of what a figure is drawn by and from: templates and metrics."""
    found = sha256((TEMPLATES / "base.svg.j2").read_bytes() + template(name).read_bytes())
    for each in FIGURES[name][2]:
        path = Path("metrics", source, each)
        path = next(p for p in (path.with_suffix(".json"), path.with_suffix(".csv")) if p.exists())
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def sheet_of(results: Results, path: str) -> ink.Tiles:
    """Return a sheet of images, uint8 [H, W]. Raises InputError if it is not there."""
    try:
        return results.pixels(path)
    except OSError as error:
        needed = f"run or pull the source {results.source} first"
        raise InputError(f"{error.filename}: {error.strerror}: {needed}") from None


def data_uri(image: ink.Tiles) -> str:
    """Return a grey image, uint8 [H, W], as a data: URI."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def main(source: str = "real") -> None:
    """Draw every figure."""
    FOLDER.mkdir(exist_ok=True)
    for name in FIGURES:
        path = FOLDER / f"{name}.svg"
        path.write_text(draw(name, Results(source)), encoding="utf-8")
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    program.run(main)
