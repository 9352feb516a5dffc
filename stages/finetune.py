"""Train on one digit set, from one kind of base network, one network for each seed.

Seed i carries the body of base network i and a head that only i decides: arms with one seed start
with the same head and see the same batches, moved the same way. The start `naive` is `random` with
mnistTask3's folder names taken at their word.

reads   data/tensors/<source>/<dataset>/{train,validation}.safetensors,
        artifacts/<source>/seeds/<start>/ (of `random` for `naive`)
writes  artifacts/<source>/<dataset>-<start>.pt (seed 0),
        artifacts/<source>/seeds/<dataset>-<start>/ (all seeds, curves)
params  compute, strength, strengths.<strength>, train.seeds,
        finetune.{smoothing,recipe,labels}, finetune.times.<source>.<dataset>
"""

from pathlib import Path
from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from stages.common import arms, dataset, entry, model, params
from stages.common.compute import Compute
from stages.common.objectives import Clean, Complementary
from stages.common.training import Recipe

Meaning = Literal["clean", "complementary"]


@params.section
class Labels:
    """What the labels of each digit set mean: the class, or a class that the image is not of."""

    mnist: Meaning
    mnistTask3: Meaning  # noqa: N815 - the archive's own name


def main(scratch: Path, source: str, name: str, start: str) -> None:
    compute = params.load("compute", Compute)
    compute.launch()
    splits = Path(f"data/tensors/{source}/{name}")
    classes = dataset.load(splits / "train.safetensors").classes
    bases = Path(f"artifacts/{source}/seeds/{'random' if start == 'naive' else start}")
    seeds = range(params.load("train.seeds", PositiveInt))
    networks = [
        model.transplant(model.load(bases / f"{seed}.pt")[0], classes, seed) for seed in seeds
    ]
    strength = params.load(f"strengths.{params.load('strength', str)}", arms.Strength)
    labels = params.load("finetune.labels", Labels)
    clean = getattr(labels, name) == "clean" or start == "naive"
    plan = arms.Plan(
        title=f"{name}-{start}",
        splits=splits,
        objective=Clean(params.load("finetune.smoothing", float)) if clean else Complementary(),
        recipe=params.load("finetune.recipe", Recipe),
        augmentation=strength.augmentation,
        epochs=strength.epochs * params.load(f"finetune.times.{source}.{name}", PositiveFloat),
        compute=compute,
        scratch=scratch,
    )
    arms.store(arms.train(networks, plan), source, plan.title, scratch)


if __name__ == "__main__":
    entry.run(main)
