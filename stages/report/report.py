"""Show everything measured on one self-contained page.

reads   metrics/<source>/, artifacts/<source>/{evaluation,label_noise}/, model-card.md,
        data/<source>/README.md, requirements.txt
writes  artifacts/<source>/report.html
"""

from pathlib import Path

import pandas as pd

from handwriting.core import cli, files
from handwriting.core.errors import say
from handwriting.reporting import characters, charts, doubtful, mnist, mnistTask3, page
from handwriting.reporting.results import Results

# The sections, by a network that each has.
SECTIONS = {
    "characters": characters,
    "mnist-random": mnist,
    "mnistTask3-random": mnistTask3,
    "doubtful-naive": doubtful,
}
_TITLES = (
    "One question about images",
    "Two questions about images",
    "Three questions about handwriting",
)
_BANNERS = {
    "real": "",
    "sample": "This is the embedded sample: images that a script has drawn. Its accuracies say "
    "nothing about handwriting.",
}


def main(scratch: Path, source: str) -> None:
    folder, results = Path(f"artifacts/{source}"), Results(source)
    sections = [module.section(results) for name, module in SECTIONS.items() if results.has(name)]
    report = page.render(
        "report.html",
        title=_TITLES[len(sections) - 1],
        source=source,
        banner=_BANNERS.get(source, f"Images of your own: the source {source}. See its data card."),
        sections=sections,
        data_card=Path(f"data/{source}/README.md").read_text(encoding="utf-8"),
        model_card=(folder / "model-card.md").read_text(encoding="utf-8"),
        packages=packages(Path("requirements.txt")),
        palette=charts.PALETTE,
    )
    files.write_bytes(folder / "report.html", report.encode(), scratch)
    say(f"{folder}/report.html: {len(report.encode()) / 1e6:.1f} MB")


def packages(path: Path) -> pd.DataFrame:
    """Return the pinned versions."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pins = [line.split("==", 1) for line in lines if "==" in line]
    return pd.DataFrame(pins, columns=["package", "version"])


if __name__ == "__main__":
    cli.run(main)
