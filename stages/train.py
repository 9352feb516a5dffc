"""Train the base networks of one start, one for each seed, on trainPart1 and nothing else.

`characters` learns all 62 classes, `digits` the images of 0 to 9 alone, and `random` nothing: it is
the weights that `digits` starts from, so that the arms of every comparison are one program.

reads   data/tensors/<source>/characters/{train,validation}.safetensors
writes  artifacts/<source>/<start>.pt (seed 0),
        artifacts/<source>/seeds/<start>/ (all seeds, curves)
params  compute, strength, strengths.<strength>, network,
        train.{seeds,smoothing,recipe,augmentation}, train.epochs.<source>.<start>
"""

from pathlib import Path

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from stages.common import alphabet, arms, dataset, entry, model, params
from stages.common.augmentation import Augmentation
from stages.common.compute import Compute
from stages.common.objectives import Clean
from stages.common.training import Recipe


def main(scratch: Path, source: str, start: str) -> None:
    compute = params.load("compute", Compute)
    compute.launch()
    splits = Path(f"data/tensors/{source}/characters")
    strength = params.load(f"strengths.{params.load('strength', str)}", arms.Strength)
    split = dataset.load(splits / "train.safetensors")
    classes = split.classes if start == "characters" else alphabet.DIGITS
    margin = params.load("network.margin", NonNegativeInt)
    shape = arms.shape_of(strength, margin, split.images.shape[-1], split.box, classes)
    seeds = range(params.load("train.seeds", PositiveInt))
    plan = arms.Plan(
        title=start,
        splits=splits,
        objective=Clean(params.load("train.smoothing", float)),
        recipe=params.load("train.recipe", Recipe),
        augmentation=params.load("train.augmentation", Augmentation),
        epochs=params.load(f"train.epochs.{source}.{start}", NonNegativeFloat),
        compute=compute,
        scratch=scratch,
    )
    networks = [model.fresh(shape, seed) for seed in seeds]
    arms.store(arms.train(networks, plan), source, start, scratch)


if __name__ == "__main__":
    entry.run(main)
