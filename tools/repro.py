"""`make repro`: reproduce the pipeline for a source, and say what came out and where it is.

params.yaml is never touched: DVC is told the source in memory, so that a kill at any moment leaves
nothing edited. `dvc repro`, with the source that params.yaml names, does the same work.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml
from dvc.cli import main as dvc
from dvc.parsing import DataResolver


def override_source(source: str) -> None:
    """Make this process's DVC read `source` wherever dvc.yaml says ${source}.

    DVC's own way to set a param for a run, `exp run -S`, edits params.yaml on disk and loses the
    other source's metrics; this is the one place where its resolver takes the file's content.
    """
    original = DataResolver.__init__

    def resolve(self: DataResolver, repo: Any, wdir: str, content: dict[str, Any]) -> None:
        text = json.dumps(content).replace("${source}", source)
        original(self, repo, wdir, json.loads(text))

    DataResolver.__init__ = resolve


def headlines(source: str) -> str:
    """The accuracies of all networks, with their counts."""
    lines = []
    for path in sorted(Path("metrics", source).glob("*.json")):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        if "accuracy_sd" in metrics:
            lines.append(
                f"  {path.stem:24}{100 * metrics['accuracy']:7.2f}%  sd"
                f" {100 * metrics['accuracy_sd']:.2f} over {metrics['seeds']} seeds,"
                f" {metrics['images']:,} images of {metrics['split']}"
            )
    return "\n".join(lines)


def main() -> int:
    default = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["source"]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", default=default, help="a source of params.yaml's archives")
    parser.epilog = "All further arguments are DVC's own command line; by default it is repro."
    given, arguments = parser.parse_known_args()
    override_source(given.source)
    print(f"Reproducing the pipeline, source: {given.source}", flush=True)
    status = int(dvc(arguments or ["repro"]))
    if status == 0:
        print(f"\nAccuracy, source {given.source}:\n{headlines(given.source)}")
        print(f"\nThe report: artifacts/{given.source}/report.html; all metrics: dvc metrics show")
    return status


if __name__ == "__main__":
    sys.exit(main())
