"""The report's section on doubtful labels: what is wrong with them, and what they teach."""

from typing import Any

import pandas as pd

from handwriting.reporting import charts
from handwriting.reporting.page import Section
from handwriting.reporting.results import Results, accuracies, chart, mistakes


def section(results: Results) -> Section:
    """Return the section."""
    shown = numbers(results)
    matrix = pd.DataFrame(shown["matrix"], shown["classes"], shown["classes"])
    figure = charts.heatmap(matrix, ("given label", "true class"))
    parts = [
        accuracies(results, 4, **shown),
        chart("label-noise-doubtful", figure, matrix.reset_index(names="true class"), **shown),
    ]
    if shown["forward"]["accuracy"] < 1:
        return Section("four", shown, [*parts, mistakes(results, "doubtful", "worst")])
    return Section("four", shown, parts)


def numbers(results: Results) -> dict[str, Any]:
    """Return what the answer names."""
    found: dict[str, Any] = results.json("label_noise/doubtful", "artifacts")
    names = {"naive": "doubtful-naive", "forward": "doubtful-corrected"}
    return found | {name: results.json(network) for name, network in names.items()}
