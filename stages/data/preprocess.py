"""Turn one data set's images into uint8 tensors, in splits that only the pixels decide.

characters28 are the images of characters framed as MNIST's, to pretrain digit networks on.

reads   data/images/<source>/<archive>.tar
writes  data/tensors/<source>/<dataset>/: train.safetensors; validation.safetensors and
        test.safetensors where params.yaml has one; sources.csv (file in the archive of each row);
        writers.csv (writer of each row, characters); summary.json (counts, near-duplicates)
"""

from contextlib import closing
from pathlib import Path

from handwriting.core import cli, files, params
from handwriting.core.errors import say
from handwriting.data import alphabet, dataset
from handwriting.preprocessing import folders, idx, tables
from handwriting.preprocessing.pixels import Pixels
from handwriting.preprocessing.settings import Framing, Images, writer_in


def main(scratch: Path, source: str, name: str) -> None:
    characters = name in ("characters", "characters28")
    archive_name = "characters" if characters else name
    kind = "characters" if name == "characters" else "digits"
    framing = params.load(f"framing.{kind}", Framing)
    images = params.load(f"{source}.images.{archive_name}", Images)
    archive = Path(f"data/images/{source}/{archive_name}.tar")
    folder, writer = Path(f"data/tensors/{source}/{name}"), None
    with closing(Pixels(scratch, images.train + images.test, framing.image_size)) as pixels:
        if name == "mnist":
            table = idx.read(archive, images, framing, pixels)
        else:
            class_of = {each: each for each in images.classes or alphabet.DIGITS}
            if characters:
                class_of, writer = images.character_folders, images.writers
            table = folders.read(archive, class_of, images.train, framing, pixels, writer)
        splits = tables.divide(table, images)
        tables.check(archive, table, splits)
        for split, rows in splits.items():
            columns, blocks = table.split(rows, framing), pixels.rows(rows)
            dataset.store(columns, folder / f"{split}.safetensors", scratch, blocks)
        summary = tables.summary(table, splits)
    sources = table.sources(splits)
    files.write_csv(folder / "sources.csv", ["split", "row", "source"], sources, scratch)
    if writer:
        sources = table.sources(splits)
        writers = ((split, row, writer_in(writer, path)) for split, row, path in sources)
        files.write_csv(folder / "writers.csv", ["split", "row", "writer"], writers, scratch)
    files.write_json(folder / "summary.json", summary, scratch)
    say(tables.sentence(summary))


if __name__ == "__main__":
    cli.run(main)
