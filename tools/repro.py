"""`make repro`: reproduce the pipeline for a source, and say what came out and where it is.

params.yaml is never touched: DVC is told the source in memory, so that a kill at any moment leaves
nothing edited. `dvc repro`, with the source that params.yaml names, does the same work.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from dvc import dvcfile
from dvc.cli import main as dvc
from dvc.parsing import DataResolver
from dvc.utils.serialize import _yaml as dvc_yaml

from handwriting.core import params
from handwriting.core.errors import InputError

PIPELINES = (Path("dvc.yaml"), Path("ablation/dvc.yaml"))
QUESTIONS = ("characters", "mnist", "mnistTask3")  # the archives that are learnt from


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


def keep_lock_fast() -> None:
    """Make this process's DVC read dvc.lock with libyaml, and write it only if it has changed.

    For every stage DVC reads the whole lock with a parser that keeps comments, of which a lock has
    none, and writes all of it, in place: 1.5 seconds of a core where both sources have run. The
    same bytes are written here, whole or not at all.
    """
    original = dvcfile.modify_yaml

    @contextmanager
    def modify(path: str, fs: Any = None) -> Iterator[dict[str, Any]]:
        if Path(path).name != "dvc.lock":
            with original(path, fs) as content:
                yield content
            return
        content = dvc_yaml.load_yaml(path) if Path(path).exists() else {}
        before = deepcopy(content)
        yield content
        if content != before:
            temporary = Path(path).parent / ".dvc/tmp/dvc.lock.part"
            dvc_yaml.dump_yaml(temporary, content)
            temporary.replace(path)

    dvcfile.modify_yaml = modify


def forget_broken_rwlock() -> None:
    """Remove DVC's record of who reads what, if a kill has left half of one.

    DVC writes it in place, and refuses to start on what is not JSON. Of a whole one it drops by
    itself the entries of processes that are no more.
    """
    path = Path(".dvc/tmp/rwlock")
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except ValueError:
        path.unlink()


def headlines(source: str) -> str:
    """The accuracies of all networks, with their counts."""
    lines = []
    for path in sorted(Path("metrics", source).glob("*.json")):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        if "accuracy_sd" in metrics:
            lines.append(
                f"  {path.stem:32}{100 * metrics['accuracy']:7.2f}%  sd"
                f" {100 * metrics['accuracy_sd']:.2f} over {len(metrics['correct'])} runs,"
                f" {metrics['images']:,} images of {metrics['split']}"
            )
    return "\n".join(lines)


def unread_params() -> list[str]:
    """The keys of params.yaml that no stage of either pipeline reads: misspelt, most likely.

    What is below a key that is read is for its stage to judge, which knows what it needs.
    """
    read: list[tuple[str, ...]] = [("source",), ("test_archives",)]
    for path in PIPELINES:
        stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
        for stage in (stages[name] for name in stages if name != "report"):  # it shows whatever is
            for entry in stage.get("params", []):
                names = [entry] if isinstance(entry, str) else next(iter(entry.values()))
                read += [tuple(re.sub(r"\$\{.*?\}", "*", name).split(".")) for name in names]

    def unread(value: object, keys: tuple[str, ...]) -> Iterator[str]:
        under = [r for r in read if all(a in ("*", b) for a, b in zip(r, keys, strict=False))]
        if any(len(each) <= len(keys) for each in under):
            return
        if not under or not isinstance(value, dict):
            yield ".".join(keys)
            return
        for key, inner in value.items():
            yield from unread(inner, (*keys, str(key)))

    return [
        name
        for key, value in yaml.safe_load(params.PATH.read_text(encoding="utf-8")).items()
        for name in unread(value, (str(key),))
    ]


def set_device(device: str) -> None:
    """Write the device into params.yaml, where the stages and dvc.lock have it from.

    Raises InputError for a GPU that is not here, or a file that somebody has laid out anew.
    """
    if device == "cuda":
        import torch  # slow, and nothing else here asks for it

        if not torch.cuda.is_available():
            raise InputError("torch finds no GPU here: params.yaml is as it was")
    text = params.PATH.read_text(encoding="utf-8")
    changed = re.sub(r"(?m)^(  device:) \w+", rf"\1 {device}", text, count=1)
    if yaml.safe_load(changed)["compute"]["device"] != device:
        raise InputError(
            f"{params.PATH}: set compute.device to {device} by hand: it is not written"
            " there as it was"
        )
    if changed != text:
        temporary = params.PATH.with_name(".params.yaml.part")
        temporary.write_text(changed, encoding="utf-8")
        temporary.replace(params.PATH)
        print(f"{params.PATH}: compute.device is now {device}: keep such a run on its own branch")


def reproduce() -> int:
    """Run DVC as the command line says; its exit status."""
    sources = params.load("archives", dict)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", default=params.load("source", str), help=", ".join(sources))
    parser.add_argument("--device", choices=["cpu", "cuda"], help="set compute.device first")
    parser.epilog = "All further arguments are DVC's own command line; by default it is repro."
    given, arguments = parser.parse_known_args()
    if given.source not in sources:
        raise InputError(f"{params.PATH}: source: {given.source} is none of {', '.join(sources)}")
    for name in params.load("test_archives", list[str]):
        if name not in sources[given.source] or name in QUESTIONS:
            raise InputError(f"{params.PATH}: test_archives: {name} is no further archive there")
    if unread := unread_params():
        raise InputError(f"{params.PATH}: no stage reads {', '.join(unread)}")
    if given.device:
        set_device(given.device)
    override_source(given.source)
    keep_lock_fast()
    forget_broken_rwlock()
    if arguments:
        return int(dvc(arguments))
    print(f"Reproducing the pipeline, source: {given.source}", flush=True)
    status = int(dvc(["repro"]))
    if status == 0:
        print(f"\nAccuracy, source {given.source}:\n{headlines(given.source)}")
        print(f"\nThe report: artifacts/{given.source}/report.html; all metrics: dvc metrics show")
    return status


if __name__ == "__main__":
    try:
        sys.exit(reproduce())
    except InputError as problem:
        sys.exit(f"repro: {problem}")
