"""The report's section on doubtful labels: what is wrong with them, and what they teach."""

from typing import Any

import pandas as pd

from handwriting.reporting.matrix import matrix
from handwriting.reporting.page import Chart, Part, Section
from handwriting.reporting.results import Results, accuracy, mistakes

_NETWORKS = {"naive": "doubtful-naive", "forward": "doubtful-corrected"}


def section(results: Results) -> Section:
    """Return the section."""
    shown = numbers(results)
    shares = pd.DataFrame(shown["matrix"], shown["classes"], shown["classes"]).T
    titles, few = ("true class", "given label"), len(shares) <= 12
    drawn = matrix(100 * shares, titles, "{:.0f}" if few else "")
    parts: list[Part] = [
        Chart("label-noise-doubtful", shown, drawn, shares.reset_index(names="given label")),
        accuracy(results, 4, [*_NETWORKS.values()], **shown),
    ]
    folded: list[Part] = []
    if shown["forward"]["accuracy"] < 1:
        folded.append(mistakes(results, "doubtful", "worst"))
    return Section("four", shown, matrix(shares, titles), parts, folded)


def numbers(results: Results) -> dict[str, Any]:
    """Return what the answer names."""
    found: dict[str, Any] = results.json("label_noise/doubtful", "artifacts")
    metrics = {name: results.json(network) for name, network in _NETWORKS.items()}
    return found | metrics | {"finding": found["sentence"].rpartition(":")[0]}
