"""What is shipped of question one: ONNX, the ensemble, the model card.

reads   artifacts/<source>/characters.pt, artifacts/<source>/crossvalidation/, metrics/<source>/
writes  artifacts/<source>/characters.onnx, characters-ensemble.pt, model-card.md
"""

from pathlib import Path

import pandas as pd
import torch
from jinja2 import StrictUndefined, Template

from handwriting import onnx_export
from handwriting.core import cli, files
from handwriting.core.errors import say
from handwriting.data import folds
from handwriting.data.alphabet import CHARACTERS
from handwriting.training import checkpoint
from handwriting.training.checkpoint import Saved

PROTOCOLS = ("characters", "characters-unseen-writers", "characters-ensemble")
MEASURED = [f"{name}{adapted}" for name in PROTOCOLS for adapted in ("", "-adapted")]
_CARD = Path(__file__).with_name("card.md.j2")
_WORST = 5  # classes and pairs in the card


def main(scratch: Path, source: str) -> None:
    torch.set_num_threads(1)
    folder = Path(f"artifacts/{source}")
    names = ["characters", *(f"crossvalidation/{name}" for name in folds.PROTOCOLS)]
    networks = [each for name in names for each in checkpoint.load(folder / f"{name}.pt")]
    checkpoint.save(networks, folder / "characters-ensemble.pt", scratch)
    shipped = networks[0]
    files.write_bytes(folder / "characters.onnx", onnx_export.to_onnx(shipped), scratch)
    text = card(source, shipped, Path(f"metrics/{source}"))
    files.write_bytes(folder / "model-card.md", text.encode(), scratch)
    say(f"{folder}/characters.onnx, {folder}/characters-ensemble.pt, {folder}/model-card.md")


def card(source: str, shipped: Saved, metrics: Path) -> str:
    """Return the model card, in Markdown, from a checkpoint and from the metrics."""
    names = ("classes", "pairs", "details")
    texts = dict.fromkeys(("class", "one", "other"), str)  # which may be called NA
    tables = (metrics / f"characters/{name}.csv" for name in names)
    classes, pairs, details = (pd.read_csv(path, converters=texts) for path in tables)
    template = Template(_CARD.read_text(), undefined=StrictUndefined, keep_trailing_newline=True)
    text: str = template.render(
        source=source,
        characters=shipped.network.shape.classes == CHARACTERS,
        shape=shipped.network.shape,
        about=shipped.about,
        weights=sum(each.numel() for each in shipped.network.parameters()),
        metrics={name: files.read_json(metrics / f"{name}.json") for name in MEASURED},
        classes=classes.sort_values(["f1", "class"]).head(_WORST).to_dict("records"),
        pairs=pairs.head(_WORST).to_dict("records"),
        details=details.set_index("network").loc["characters"],
    )
    return text


if __name__ == "__main__":
    cli.run(main)
