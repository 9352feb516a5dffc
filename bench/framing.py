"""From the bytes of an image file to the network's square: today's code against the former one's.

python -m bench.framing [--characters N] [--digits N] [--repetitions N]

The former code is the last before framing found the writing in a picture, from git's history, an
image at a time and, as both stages do, some at a time. Every measurement is a
process of its own. They are interleaved: one of each, N times, of which the medians count. The
clock starts when all is loaded. The files are taken evenly from the archives.

reads   the archives in the folder $DATA_MIRROR, or the sample's; commit 5a1b97b, if it is there
writes  bench/results/framing.json
"""

import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench import report
from tools import program

FORMER = "5a1b97b"
# The archive, and the framing in params.yaml.
DATASETS = {"characters": ("trainPart1.zip", 36, 28), "mnistTask3": ("mnistTask3.zip", 28, 20)}
CODES = {
    "now": ("handwriting.preprocessing.framing", "prepare_all"),
    "former": ("common.images", "prepare"),
    "former, in batches": ("common.images", "prepare_all"),
}
_WORK = """
import sys, time, zipfile
from importlib import import_module
module, function, archive, (count, size, ink_size) = *sys.argv[1:4], map(int, sys.argv[4:])
with zipfile.ZipFile(archive) as file:
    names = [name for name in file.namelist() if not name.endswith("/")]
    files = [(name, file.read(name)) for name in names[:: max(1, len(names) // count)][:count]]
sys.path.append("stages")  # of the former code
called = getattr(import_module(module), function)
start = time.process_time()
for i in range(0, len(files), 64):
    if function == "prepare_all":
        called(files[i : i + 64], size, ink_size)
    else:
        for name, content in files[i : i + 64]:
            called(content, name, size, ink_size)
print((time.process_time() - start) / len(files) * 1e6)
"""


def round_of_all(counts: dict[str, int], former: str) -> dict[tuple[str, str], float]:
    """Return the CPU microseconds of an image, by data set and code."""
    found = {}
    for dataset, count in counts.items():
        for code in CODES:
            archive, *framing = DATASETS[dataset]
            given = (*CODES[code], report.mirror().absolute() / archive, count, *framing)
            command = [sys.executable, "-c", _WORK, *map(str, given)]
            folder = "." if code == "now" else former
            found[dataset, code] = float(subprocess.check_output(command, cwd=folder))  # noqa: S603
    return found


def main(characters: int = 500, digits: int = 10_000, repetitions: int = 7) -> None:
    """Measure and write."""
    counts = {"characters": characters, "mnistTask3": digits}
    with tempfile.TemporaryDirectory() as former:
        tar = Path(former, "former.tar")
        command = ["git", "archive", "--output", str(tar), FORMER, "stages"]
        if subprocess.run(command).returncode:  # noqa: S603
            print(f"framing: not measured, as this clone's history lacks {FORMER}")
            return
        report.unpack(Path(tar), Path(former))
        medians = report.medians(partial(round_of_all, counts, former), repetitions)
    results = {}
    for dataset in counts:
        cpu = {code: round(medians[dataset, code], 1) for code in CODES}
        ratios = {code: round(cpu["now"] / cpu[code], 3) for code in CODES if code != "now"}
        results[dataset] = {"cpu_microseconds_an_image": cpu, "now_against": ratios}
    source = "sample" if report.mirror() == report.SAMPLE else "real"
    about = {"source": source, "repetitions": repetitions, "processor": report.processor()}
    about |= {"images": counts, "former": FORMER}
    report.write("framing", {"about": about, "results": results})
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    program.run(main)
