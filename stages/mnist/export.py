"""The shipped digit networks, of MNIST and of mnistTask3, for other runtimes than torch.

reads   artifacts/<source>/mnist-characters.pt, mnistTask3-random.pt
writes  the same as .onnx
"""

from pathlib import Path

import torch

from handwriting import onnx_export
from handwriting.core import cli, files
from handwriting.core.errors import say
from handwriting.training import checkpoint

NETWORKS = ("mnist-characters", "mnistTask3-random")


def main(scratch: Path, source: str) -> None:
    torch.set_num_threads(1)
    for name in NETWORKS:
        path = Path(f"artifacts/{source}/{name}.pt")
        [saved] = checkpoint.load(path)
        content = onnx_export.to_onnx(saved)
        files.write_bytes(path.with_suffix(".onnx"), content, scratch)
        say(str(path.with_suffix(".onnx")))


if __name__ == "__main__":
    cli.run(main)
