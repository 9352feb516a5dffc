"""`make weights SOURCE=real`: put a source's networks into the package, with their model cards.

reads   artifacts/<source>/{characters,mnist-characters}.onnx, metrics/<source>/
writes  handwriting/weights/{characters,digits}.onnx, README.md
"""

from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template

from handwriting import Classifier
from handwriting.classifier import WEIGHTS, OnnxNetwork
from handwriting.core import files
from handwriting.core.errors import InputError
from handwriting.reporting.results import Results
from tools import program

CARD = Path(__file__).with_name("weights.md.j2")
MADE = {"characters": "characters.onnx", "digits": "mnist-characters.onnx"}  # by the pipeline


def main(source: str = "real") -> None:
    WEIGHTS.mkdir(exist_ok=True)
    for name, made in MADE.items():
        path = Path(f"artifacts/{source}/{made}")
        if not path.exists():
            raise InputError(f"{path} is missing: dvc repro {source}/dvc.yaml")
        files.write_bytes(WEIGHTS / f"{name}.onnx", path.read_bytes(), WEIGHTS)
    files.write_bytes(WEIGHTS / "README.md", cards(Results(source)).encode(), WEIGHTS)


def cards(results: Results) -> str:
    """Return the model cards of the networks in the package, in Markdown, from the metrics."""
    measured = {name: results.json(name) for name in ("characters", "characters-unseen-writers")}
    details = results.table("characters/details").set_index("network").loc["characters"]
    runs = results.table("transfer/runs")
    mine = runs[(runs["init"] == "characters") & (runs["method"] == "full")]
    [shipped] = mine[(mine["labels"] == "all") & (mine["seed"] == 0)].to_dict("records")
    template = Template(CARD.read_text(), undefined=StrictUndefined, keep_trailing_newline=True)
    text: str = template.render(
        networks={name: described(name) for name in MADE},
        single=measured["characters"],
        unseen=measured["characters-unseen-writers"],
        case_insensitive=details["case_insensitive"],
        digits=results.json("mnist-characters"),
        shipped=shipped,
    )
    return text


def described(name: str) -> dict[str, Any]:
    """Return what a network in the package is: its digest, size in bytes and input."""
    network, content = Classifier(name).network, (WEIGHTS / f"{name}.onnx").read_bytes()
    assert isinstance(network, OnnxNetwork)  # noqa: S101 - for the type checker
    size, digest = len(content), sha256(content).hexdigest()
    return {"digest": digest, "bytes": size, "side": network.size, "pairs": network.confusable}


if __name__ == "__main__":
    program.run(main)
