"""The model card of the shipped network (Mitchell et al. 2019, arXiv 1810.03993), in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from handwriting.training.model import Network

Row = Mapping[str, str]

_DATA = {
    "sample": "The embedded sample: characters drawn by `data/sample/draw.py`, not written by"
    " anybody. Its accuracies say that the pipeline works, and nothing about handwriting."
    " Licence: MIT, as the code.",
    "dropbox": "trainPart1.zip: 62 classes of handwriting, 40 images each, a part of Chars74K's"
    " EnglishHnd. No licence file came with the archive; its authors ask to be acknowledged:"
    " T. E. de Campos, B. R. Babu and M. Varma, *Character recognition in natural images*,"
    " VISAPP 2009. The MIT licence of the repository is for its code alone.",
}
_SAID = {
    "characters": "a single image, its writer among those learnt from",
    "characters-same-hand": "the same, with the writer's other images",
    "characters-new-hands": "a single image by a writer never seen",
    "characters-new-hands-same-hand": "the same, with the writer's other images",
    "characters-ensemble": "two networks, one of each way of the above, a single image",
    "characters-ensemble-same-hand": "the same, with the writer's other images",
}


def text(
    source: str,
    network: Network,
    about: Mapping[str, Any],
    metrics: Mapping[str, Mapping[str, Any]],
    classes: Sequence[Row],
    pairs: Sequence[Row],
) -> str:
    """The card of `network`, from what its checkpoint says of it and from what was measured."""
    shape = network.shape
    weights = sum(parameter.numel() for parameter in network.parameters())
    return f"""# Model card: characters, source {source}

A small convolutional network that reads one handwritten character: {len(shape.classes)} classes,
0-9, A-Z and a-z. {weights:,} weights, {len(shape.widths)} convolutions, float32.

## Load

```python
from handwriting.classifier import Classifier

classifier = Classifier("artifacts/{source}/characters.pt")
label, index, probabilities = classifier.predict("letter.png")
```

`characters.onnx` is the same network for any ONNX runtime: `image`, float32
[N, 1, {shape.size}, {shape.size}], pixels from 0 to 255, bright ink on dark, as
`handwriting/preprocessing/framing.py` frames them, and `place`, float32 [N, 4], the height, width, centre y and
centre x of the ink as shares of the canvas; out come `probabilities`, float32
[N, {len(shape.classes)}].

`characters-ensemble.pt` is this network together with those of the folds: the same call, several
times the work. What two of its networks answer together is measured below; all of them can be on an
archive of `test_archives` alone, since every image here was learnt from by most of them.

{_results(metrics)}
{_limits(shape.classes, classes, pairs)}
## Data

{_DATA.get(source, f"See `data/{source}/README.md`.")}

| tensors | sha256 |
|---|---|
{_digests(about["data"])}

## Recipe

{_recipe(about)}
"""


def _results(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    alone = metrics["characters"]
    return f"""## Results

| how it is read | accuracy | 95% interval | sd | runs | images |
|---|---|---|---|---|---|
{_rows(metrics)}

Cross-validated: each image is read by a network that learnt by the same recipe from the others. The
shipped network has learnt from all images and has no test set of its own here. The interval is of
the sampling of the writers, whose images are read alike; the sd is between the runs.

Of a single image, with case forgiven {100 * alone["case_folded_accuracy"]:.2f}% are right, and the
right class is among the first three for {100 * alone["top3_accuracy"]:.2f}%. Expected calibration
error {100 * alone["calibration_error"]:.2f} points, of all held-out images together.

"""


def _limits(labels: Sequence[str], classes: Sequence[Row], pairs: Sequence[Row]) -> str:
    weakest = sorted(classes, key=lambda row: (float(row["f1"]), row["class"]))[:5]
    weak = ", ".join(f"`{row['class']}` ({float(row['f1']):.2f})" for row in weakest)
    mixed = ", ".join(f"`{p['one']}` and `{p['other']}` ({p['times']})" for p in pairs[:5])
    return f"""## Limits

- Weakest classes, by F1: {weak}.
- Most often taken for each other: {mixed}.
- One isolated character on an even ground; no words, no accents, no other script. Everything gets
  one of the {len(labels)} answers: it has no way to say that an image is none of them.
- Few writers, one kind of pen and canvas. Size and place on the canvas count.
- Not measured by age, country or handedness of the writers: the data do not tell them.

"""


def _rows(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    return "\n".join(
        f"| {_SAID[name]} | {100 * each['accuracy']:.2f}% |"
        f" {100 * each['accuracy_low']:.2f} to {100 * each['accuracy_high']:.2f}% |"
        f" {100 * each['accuracy_sd']:.2f} | {len(each['correct'])} | {each['images']:,} |"
        for name, each in metrics.items()
    )


def _digests(data: Mapping[str, str | None]) -> str:
    return "\n".join(f"| {name} | `{digest}` |" for name, digest in data.items() if digest)


def _recipe(about: Mapping[str, Any]) -> str:
    """What the checkpoint says of its training, the digests apart."""
    digests = ("data", "start")
    return "\n".join(f"- {name}: `{value}`" for name, value in about.items() if name not in digests)
