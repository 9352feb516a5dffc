"""`dvc plots show`: what is on its page, in a browser."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from handwriting.reporting.charts import PALETTE
from tests import browser
from tests.workspace import ROOT, run

CDN = "https://cdn.jsdelivr.net/npm/"
LIBRARIES = ("vega@5.20.2", "vega-lite@5.2.0", "vega-embed@6.18.2")  # as on DVC's page
FRAMES = """
const empty = (div) => !div.querySelector("canvas, svg, img") || div.querySelector(".vega-error")
  || [...div.querySelectorAll("img")].some((each) => !each.naturalWidth);
return [...document.querySelectorAll("body > div")].map((div) => [div.id, empty(div)]);
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The scripts of the page by their URLs, from npm."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    folder, found = tmp_path_factory.mktemp("vega"), {}
    for name in LIBRARIES:
        done = run(folder, "npm", "pack", "--silent", name, check=False)
        if done.returncode:
            pytest.skip(f"npm pack {name}: {done.stderr}")
        with tarfile.open(folder / done.stdout.strip()) as archive:
            script = f"package/build/{name.partition('@')[0]}.min.js"
            content = archive.extractfile(script)
            assert content
            (folder / script).parent.mkdir(parents=True, exist_ok=True)
            (folder / script).write_bytes(content.read())
        found[CDN + name] = (folder / script).as_uri()
    return found


@pytest.mark.parametrize(("ran", "sources"), [("committed", 2), ("reproduced", 1)])
def test_every_plot_is_drawn(
    ran: str,
    sources: int,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    libraries: dict[str, str],
) -> None:
    folder, ignored = tmp_path / "repository", shutil.ignore_patterns("tmp")
    shutil.copytree(request.getfixturevalue(ran), folder, ignore=ignored)
    run(folder, "dvc", "plots", "show")
    page = folder / "dvc_plots/index.html"
    text = page.read_text()
    for url, local in libraries.items():
        assert url in text
        text = text.replace(url, local)
    page.write_text(text)
    with browser.opened() as chromium:
        chromium.get(page.as_uri())
        frames = chromium.execute_script(FRAMES)
        assert [name for name, empty in frames if empty] == []
        assert len(frames) == 11 + 7 * sources
        assert browser.console(chromium, "WARNING") == []  # Vega tells that a newer one exists


def test_a_colour_of_the_plots_is_that_of_the_report() -> None:
    for path in sorted((ROOT / ".dvc/plots").glob("curves-*.json")):
        scale = json.loads(path.read_text())["spec"]["encoding"]["color"]["scale"]
        for name, colour in zip(scale["domain"], scale["range"], strict=True):
            assert colour == PALETTE.get(name, (colour,))[0]
            assert colour in {light for light, _ in PALETTE.values()}
