"""What `make repro` shows: each stage in words, its result, the answers; and errors as they are."""

import re
from pathlib import Path

from tests import workspace
from tests.workspace import ROOT, run

LINES = [re.compile(each) for each in (ROOT / "tools/dvc_lines.txt").read_text().splitlines()]


def test_each_stage_says_in_words_what_it_does_and_what_came_of_it(reproduced: Path) -> None:
    printed = reproduced.with_name("clone is done").read_text().splitlines()
    shown = [line for line in printed if not any(each.search(line) for each in LINES)]
    titles = [number for number, line in enumerate(shown) if not line.startswith(" ")]
    assert len(titles) >= 25  # one for each stage
    for number, following in zip(titles, [*titles[1:], len(shown)], strict=True):
        assert re.fullmatch(r"[A-Z][\w' ,:-]+ \(sample\)", shown[number]), shown[number]
        assert 2 <= following - number <= 9, shown[number:following]
    assert [line for line in shown if len(line) > 80] == []
    assert [line for line in shown if "{" in line or ".lock" in line] == []
    naive = next(i for i, line in enumerate(shown) if "used as given" in line)
    assert "Expected" in " ".join(shown[naive : naive + 4])


def test_make_repro_ends_with_the_answers_and_where_to_go_next(reproduced: Path) -> None:
    printed = run(reproduced, "python", "-m", "tools.answers", "sample").stdout
    assert re.findall(r"(?m)^(\d)\. ", printed) == ["1", "2", "3"]
    assert [line for line in printed.splitlines() if len(line) > 80] == []
    assert "say nothing about handwriting" in printed
    assert "make report" in printed


def test_make_repro_hides_no_error_and_fails_with_it(committed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(committed), str(folder))
    environment = workspace.make_environment(tmp_path / "environment")
    (folder / "params.yaml").write_text((folder / "params.yaml").read_text() + "]\n")
    done = run(folder, "make", "repro", f"VENV={environment}", check=False)
    assert done.returncode != 0
    assert "params.yaml" in done.stderr
