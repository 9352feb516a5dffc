"""The generated blocks of README.md and docs/results.md, from metrics/ alone."""

import contextlib
import io
import subprocess
import sys

import pandas as pd

from handwriting.reporting import mnist
from handwriting.reporting.networks import NETWORKS
from handwriting.reporting.results import Results
from tools import answers as printed
from tools.markdown import accuracy, cells, interval, points, table

_SHOWN = ("characters", "mnist-random", "mnistTask3-naive", "mnistTask3-random")

_CALIBRATED = {  # the network of each table
    "characters": "characters",
    "mnist": "mnist-characters",
    "mnistTask3": "mnistTask3-random",
}


def answers(results: Results) -> str:
    """Return the answers, each in a bold line with its interval and count in small."""
    found = [
        answer(results) for answer in (printed.characters, printed.transfer, printed.wrong_labels)
    ]
    return "".join(
        f"{i}. **{bold}** <br><sub>{rest}</sub>\n" for i, (bold, rest) in enumerate(found, 1)
    )


def expected(_: Results) -> str:
    """Return the first and the last lines of what `make repro` prints at its end, of the sample."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        printed.main(["sample"])
    lines = output.getvalue().strip().splitlines()
    return "\n".join(["```", *lines[:5], "...", *lines[-4:], "```", ""])


def metrics(results: Results) -> str:
    """Return what DVC shows of some networks."""
    paths = [f"metrics/{results.source}/{name}.json" for name in _SHOWN]
    command = [sys.executable, "-m", "dvc", "metrics", "show", *paths]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    lines = [line.rstrip() for line in shown.splitlines()]
    return "\n".join(["```", *lines, "```", ""])


def networks(results: Results) -> str:
    """Return the accuracy of every network."""
    measured = {name: each for name, each in NETWORKS.items() if results.has(name)}
    frame = pd.DataFrame([results.json(name) for name in measured])
    columns = {
        "network": [f"`{name}`" for name in measured],
        "question": [f"{each.question}: {each.what}" for each in measured.values()],
        "accuracy % ± sd": accuracy(frame),
        "95% interval": interval(frame, "{:.2f} to {:.2f}"),
        "up to confusable classes %": cells("{:.2f}", 100 * frame["folded"]),
        "loss": cells("{:.3f}", frame["loss"]),
        "ECE %": cells("{:.2f}", 100 * frame["ece"]),
        "runs": cells("{:.0f}", frame["runs"]),
        "images": cells("{:,.0f}", frame["images"]),
    }
    return table(columns)


def context(results: Results) -> str:
    """Return how many images are classified correctly, by the number of the writer's others."""
    frame = results.table("characters/context_size")
    counts = frame.pivot(index="network", columns="context", values="correct")
    *some, most = counts.columns
    columns = {str(n): cells("{:,}", counts[n]) for n in some} | {
        "all": cells("{:,}", counts[most])
    }
    return table({"network": [f"`{name}`" for name in counts.index], **columns})


def confused(results: Results) -> str:
    """Return the pairs of classes that are confused most."""
    rows = results.table("characters/pairs").head(10)
    pairs = [f"{one} and {other}" for one, other in rows[["one", "other"]].values]
    return table({"classes": pairs, "times": cells("{}", rows["times"])})


def classes(results: Results) -> str:
    """Return precision, recall and F1 of every class, the lowest F1 first."""
    rows = results.table("characters/classes").sort_values(["f1", "class"])
    shares = {name: cells("{:.2f}", rows[name]) for name in ("precision", "recall", "f1")}
    return table({"class": list(rows["class"]), "images": cells("{}", rows["images"]), **shares})


def calibration(results: Results) -> str:
    """Return how often networks are correct, by how sure they are."""
    columns: dict[str, list[str]] = {}
    for data, network in _CALIBRATED.items():
        rows = results.table(f"{data}/calibration")
        sure = [f"{low:.0%} to {high:.0%}" for low, high in rows[["low", "high"]].values]
        shares = {name: cells("{:.2f}", 100 * rows[name]) for name in ("confidence", "accuracy")}
        part = {
            "network": [f"`{network}`"] * len(rows),
            "sure to": sure,
            "images": cells("{:,}", rows["images"]),
            "mean confidence %": shares["confidence"],
            "accuracy %": shares["accuracy"],
        }
        columns = {name: columns.get(name, []) + each for name, each in part.items()}
    return table(columns)


def character_types(results: Results) -> str:
    """Return how many digits, upper- and lower-case letters are correct."""
    rows = results.table("characters/character_types")
    counts = ("images", "single", "adapted", "adapted_same_type")
    columns = {
        name.replace("_", ", ", 1).replace("_", " "): cells("{:,}", rows[name]) for name in counts
    }
    return table(
        {"network": [f"`{n}`" for n in rows["network"]], "type": [*rows["type"]], **columns}
    )


def similarity(results: Results) -> str:
    """Return how alike the networks of two inits are, means over pairs of seeds."""
    by = ["method", "first", "second"]
    share = results.table("transfer/agreement").groupby(by, sort=False)["share"].mean()
    cka = results.table("transfer/cka").pivot_table("cka", by, "layer", sort=False)
    cka = cka.reindex(share.index)
    columns = {"inits": [f"{first}, {second}" for _, first, second in share.index]}
    columns["same answer %"] = cells("{:.2f}", 100 * share)
    layers = {f"CKA, layer {layer}": cells("{:.3f}", cka[layer]) for layer in cka}
    return table(columns | layers)


def digit_errors(results: Results) -> str:
    """Return the errors on each digit by init, means over the seeds."""
    rows = results.table("transfer/digits").query("method == 'full'")
    means = rows.pivot_table("errors", "digit", "init", sort=False)[[*mnist.INITS]]
    columns = {"digit": [str(digit) for digit in means.index]}
    return table(columns | {str(name): cells("{:.1f}", means[name]) for name in means})


def confusable(results: Results) -> str:
    """Return how often confusable classes are taken for each other."""
    rows = results.table("characters/confusable")
    columns = {"network": [f"`{name}`" for name in rows["network"]], "classes": [*rows["classes"]]}
    counts = {name: cells("{:,}", rows[name]) for name in ("images", "correct", "confused")}
    return table(columns | counts)


def details(results: Results) -> str:
    """Return further measures of question one."""
    rows = results.table("characters/details")
    shares = ("case_insensitive", "top3", "digits_accuracy", "macro_f1")
    columns = {"network": [f"`{name}`" for name in rows["network"]]}
    return table(
        columns | {f"{n.replace('_', ' ')} %": cells("{:.2f}", 100 * rows[n]) for n in shares}
    )


def labels(results: Results) -> str:
    """Return the primary comparison of question two, at each number of labels."""
    answer = results.json("transfer/answer")
    frame = pd.DataFrame({name: answer[name] for name in answer if name != "answer"}).T
    columns = {
        "labels per class": list(frame.index),
        **{f"{init} %": cells("{:.2f}", 100 * frame[init]) for init in mnist.INITS},
        "characters - random, points (95% interval)": points(frame),
        "pairs of seeds": cells("{}", frame["seeds"]),
        "corrected p": cells("{:.2g}", frame["p_corrected"]),
        "SESOI, points": cells("{:g}", 100 * frame["margin"]),
        "verdict": list(frame["verdict"]),
    }
    return table(columns)


def comparisons(results: Results, question: str) -> str:
    """Return paired comparisons, without the primary ones."""
    rows = results.table(f"{question}/comparisons").query("primary == 0")
    sides = rows[["init", "method", "against", "against_method"]].values
    columns = {
        "comparison": [f"{i}, {m} - {a}, {am}" for i, m, a, am in sides],
        "labels per class": list(rows["labels"]),
        "points (95% interval)": points(rows),
        "n": cells("{}", rows["n"]),
        "corrected p": cells("{:.2g}", rows["p_corrected"]),
        "verdict": list(rows["verdict"]),
    }
    return table(
        {name: [str(each).replace("_", " ") for each in of] for name, of in columns.items()}
    )


def speed(results: Results) -> str:
    """Return how many training images it takes to reach an accuracy, with all labels."""
    frame = mnist.with_all_labels(results.table("transfer/speed")).dropna(subset=["median_images"])
    names = ("median_images", "fewest_images", "most_images", "median_images_kept")
    images = {name.replace("_", " "): cells("{:,}", frame[name], "never") for name in names}
    validation = cells("{:g}", 100 * frame["threshold"])
    return table({"validation accuracy %": validation, "init": list(frame["init"]), **images})


def diagnosed(results: Results) -> str:
    """Return what the diagnosis said of both digit sets."""
    rows = results.table("mnistTask3/label_noise")
    columns = {
        "data set": list(rows["dataset"]),
        "labels are": list(rows["kind"]),
        "images": cells("{:,}", rows["images"]),
        "clean fraction %": cells("{:.2f}", 100 * rows["clean_fraction"]),
        "95% interval": interval(rows, "{:.2f} to {:.2f}"),
        "believed correct": cells("{:,}", rows["believed_correct"]),
    }
    return table(columns)


def oracle(results: Results) -> str:
    """Return what MNIST's own labels say of the diagnosis and of self-training."""
    found = results.json("oracle/summary")
    rows = [(name.replace("_", " "), value) for name, value in found.items()]
    return table({"what": [n for n, _ in rows], "value": [f"{v:,}" for _, v in rows]})


def pseudo_labels(results: Results) -> str:
    """Return how many pseudo-labels there were in each round, and how many were correct."""
    rows = results.table("oracle/pseudo_labels")
    counts = rows.groupby(["init", "round"], sort=False)[
        ["images", "pseudo_labels", "correct"]
    ].sum()
    shares = 100 * counts["correct"] / counts["pseudo_labels"].clip(1)
    columns = {
        "init": [init for init, _ in counts.index],
        "round": [str(number) for _, number in counts.index],
        "images, all seeds": cells("{:,}", counts["images"]),
        "pseudo-labels": cells("{:,}", counts["pseudo_labels"]),
        "correct %": cells("{:.2f}", shares),
    }
    return table(columns)


RESULTS = {
    "networks": networks,
    "context-size": context,
    "character-types": character_types,
    "confused": confused,
    "classes": classes,
    "confusable": confusable,
    "details": details,
    "calibration": calibration,
    "labels": labels,
    "speed": speed,
    "comparisons": lambda results: comparisons(results, "transfer"),
    "similarity": similarity,
    "digit-errors": digit_errors,
    "diagnosed": diagnosed,
    "oracle": oracle,
    "pseudo-labels": pseudo_labels,
    "inits": lambda results: comparisons(results, "mnistTask3"),
}
README = {"answers": answers, "expected": expected, "metrics": metrics}
