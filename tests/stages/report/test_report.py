"""The report: what is on the page, and the page as a visitor's browser has it."""

import base64
import hashlib
import json
import os
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import yaml
from axe_core_python.selenium import Axe
from filelock import FileLock
from plotly.offline import get_plotlyjs_version
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from handwriting.classifier import Classifier
from handwriting.core.errors import InputError
from handwriting.reporting import charts, drawing, page
from stages.report.report import report as report_stage
from tests import browser
from tests.workspace import ROOT, read_params, run
from tools import report as tool

ABLATION = (
    "choice,accuracy,sd,folds,images,difference,low,high,why,source\n"
    "recipe,0.9,0.01,5,100,0,0,0,as it is,measured\n"
    "no augmentation,0.85,0.01,5,100,-0.05,-0.11,0.01,few images,Simard 2003\n"
    "<b>no place</b>,0.83,0.01,5,100,-0.07,-0.12,-0.02,c and C,measured\n"
)
BUNDLE = ROOT / "handwriting/reporting/plotly-cartesian.min.js"
BUNDLE_SHA256 = "79542150855a52c567260e3137095dbe2b744e6d702a5cabe67da246942fba7a"
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


@pytest.fixture(scope="module")
def folder(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the report has been made of all that it may be made of."""
    folder = tmp_path_factory.mktemp("report")
    for name in ("stages", "metrics", "data/sample"):
        shutil.copytree(reproduced / name, folder / name)
    for name in ("params.yaml", "requirements.txt"):
        shutil.copy(reproduced / name, folder)
    shutil.copytree(reproduced / "artifacts", folder / "artifacts")
    (folder / "metrics/sample/ablation.csv").write_text(ABLATION)
    shutil.copy(ROOT / "metrics/dropbox/rates.csv", folder / "metrics/sample")
    run(folder, "python", "-m", "stages.report.report", "sample")
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chrome]:
    with browser.opened() as opened:
        yield opened


@pytest.fixture
def seen(chromium: Chrome, folder: Path) -> Chrome:
    """The report, scrolled through on a wide screen; its logs begin with it."""
    browser.look(chromium, 1600, "light")
    browser.requests(chromium)
    browser.complaints(chromium)
    chromium.get((folder / "artifacts/sample/report.html").as_uri())
    browser.scroll_through(chromium)
    return chromium


@pytest.fixture(scope="module")
def runtime() -> Path:
    """The runtime of the drawing box, fetched once for all workers."""
    target = ROOT / tool.RUNTIME
    try:
        target.parent.mkdir(exist_ok=True)
        with FileLock(target.parent / "lock"):
            tool.fetch_runtime(target)
    except InputError as problem:
        pytest.skip(f"no runtime for the drawing box: {problem}")
    return target


@pytest.fixture
def address(folder: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The report as `make report` serves it."""
    monkeypatch.chdir(folder)
    serving = tool.server("sample", 0, runtime)
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}/"
    serving.shutdown()
    serving.server_close()
    thread.join()


def test_the_drawing_has_every_stage_and_no_arrow_that_is_not_there() -> None:
    drawn = {name for column in drawing.COLUMNS for name in column}
    assert drawn == {name for name in STAGES if not name.endswith("-test")}

    for first, then in drawing.FOLLOWS:
        outs, deps = paths(first, "outs", "metrics"), paths(then, "deps")
        assert any(d.startswith(o) or o.startswith(d) for o in outs for d in deps), (first, then)


def paths(stage: str, *kinds: str) -> set[str]:
    """What a stage of dvc.yaml reads or writes, for every value of its matrix."""
    given = [each for kind in kinds for each in STAGES[stage].get(kind, [])]
    found = {each if isinstance(each, str) else next(iter(each)) for each in given}
    for name, values in STAGES[stage]["matrix"].items():
        found = {path.replace(f"${{item.{name}}}", value) for path in found for value in values}
    return {path for path in found if not path.startswith("stages")}


def test_the_report_depends_on_the_params_that_it_shows_and_not_on_which_source_is_run() -> None:
    of_source = {f"{name}.${{item.source}}" for name in ("archives", "preprocess")}
    assert set(STAGES["report"]["params"]) == {*report_stage.SHOWN_PARAMS, *of_source}
    assert "params.yaml" not in STAGES["report"]["deps"]
    elsewhere = {"source", "archives", "preprocess", "download", "unzip", "ablation"}
    assert set(report_stage.SHOWN_PARAMS) == set(read_params(ROOT)) - elsewhere


def test_names_are_escaped_wherever_they_stand() -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    table = page.Table([evil], [[evil]])
    figure = json.dumps({"data": [{"name": evil}], "layout": {}})
    parts: list[page.Part] = [
        page.Chart("chart", evil, evil, figure, table),
        page.Sheet("sheet", evil, evil, b"", 12, [(evil, evil)]),
        page.Sheet("rows", evil, evil, b"", 12, (), [evil]),
        evil,
    ]
    section = page.Section("one", f"One: {evil}", evil, parts)
    text = page.render(
        "report.html",
        source=evil,
        sections=[section],
        pipeline=drawing.drawing(),
        card=evil,
        model_card=evil,
        digests=table,
        params=table,
        packages=table,
        plotly="",
    )
    assert "<img" not in text
    assert text.count("</script>") == 3 + 1  # the page's own, and the chart's


def test_the_page_draws_with_the_plotly_js_as_published_that_the_figures_are_written_for() -> None:
    version = get_plotlyjs_version()
    renew = (
        f"the package plotly writes for plotly.js {version}:"
        f" `npm pack plotly.js-cartesian-dist-min@{version}`, its plotly-cartesian.min.js"
        f" to {BUNDLE.parent.relative_to(ROOT)}, and its sha256 to BUNDLE_SHA256"
    )
    content = BUNDLE.read_bytes()
    assert f"plotly.js (cartesian - minified) v{version}\n".encode() in content[:200], renew
    assert hashlib.sha256(content).hexdigest() == BUNDLE_SHA256, renew
    assert charts.library().encode() == content


def test_the_report_is_small_and_the_same_every_time(folder: Path) -> None:
    path = folder / "artifacts/sample/report.html"
    before = path.read_bytes()
    assert len(before) < 4_000_000  # less than the whole of plotly.js by itself
    run(folder, "python", "-m", "stages.report.report", "sample")
    assert path.read_bytes() == before


def test_question_two_is_told_and_the_ablation_where_it_was_measured(
    folder: Path, reproduced: Path
) -> None:
    whole = (folder / "artifacts/sample/report.html").read_text()
    bare = (reproduced / "artifacts/sample/report.html").read_text()
    parts = (
        *("budgets", "ways", "comparisons", "curves-few", "measures", "digits", "cka"),
        *("agreement", "looked-up", "beside-clean"),
    )
    for identity in parts:
        assert f'<figure id="{identity}">' in whole
        assert f'<figure id="{identity}">' in bare
    for identity in ("ablation", "rates"):
        assert f'<figure id="{identity}">' in whole
        assert f'<figure id="{identity}">' not in bare
    assert "Too few images are held out to tell how soon" in whole  # in the small cut
    answer = json.loads((folder / "metrics/sample/transfer.json").read_text())["answer"]
    assert answer in whole
    assert "&lt;b&gt;no place&lt;/b&gt; loses most: -7.00 points (95% interval -12.00" in whole
    assert "leaves out 0 for 1 of them" in whole
    assert "has not been measured on this source" in bare


def test_a_visitor_sees_every_section_and_chart_and_nothing_is_asked_of_the_network(
    seen: Chrome,
) -> None:
    empty = seen.execute_script(
        "return [...document.querySelectorAll('main section')].filter(s => s.innerText.length < 80)"
        ".map(s => s.id)"
    )
    assert empty == []
    plots = seen.find_elements(By.CSS_SELECTOR, ".plot")
    assert len(plots) == 29
    marks = seen.execute_script(
        "return [...document.querySelectorAll('.plot')].map(p => [p.parentElement.id,"
        " p.querySelectorAll('.point, .textpoint text, .hm image, .js-line, .bars path').length])"
    )
    assert [name for name, count in marks if not count] == []
    rows = seen.execute_script(
        "return [...document.querySelectorAll('figure details')].map(d => d.querySelectorAll("
        "'tbody tr').length)"
    )
    assert min(rows) > 0
    buttons = seen.execute_script(
        "return [...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title)"
    )
    assert "Zoom" in buttons
    assert not any(title.startswith("Share") for title in buttons)
    assert browser.complaints(seen) == []
    assert {url.partition(":")[0] for url in browser.requests(seen)} == {"file"}


def test_the_slider_shows_the_images_of_the_map(seen: Chrome) -> None:
    said = seen.execute_script(
        "const look = document.querySelector('.look'), slider = look.querySelector('input');"
        "return [3, 4].map(i => { slider.value = i; slider.dispatchEvent(new Event('input'));"
        "return [look.querySelector('output').textContent,"
        " getComputedStyle(look.querySelector('.tile')).backgroundPosition]; })"
    )
    (first, at_first), (_, at_second) = said
    assert ", read as " in first
    assert at_first != at_second


def test_the_page_stands_before_plotly_has_run(chromium: Chrome, folder: Path) -> None:
    browser.look(chromium, 1600, "light", height=300)  # too low for a chart to be near
    chromium.get((folder / "artifacts/sample/report.html").as_uri())
    wait = WebDriverWait(chromium, 20)
    wait.until(lambda page: page.execute_script("return document.readyState === 'complete'"))
    assert chromium.execute_script("return typeof Plotly") == "undefined"
    chromium.execute_script("document.querySelector('.plot').scrollIntoView()")
    wait.until(lambda page: page.execute_script("return typeof Plotly === 'object'"))


@pytest.mark.parametrize("theme", browser.THEMES)
@pytest.mark.parametrize("width", browser.WIDTHS)
def test_both_themes_fit_three_widths(
    chromium: Chrome, folder: Path, width: int, theme: str
) -> None:
    browser.look(chromium, width, theme)
    chromium.get((folder / "artifacts/sample/report.html").as_uri())
    browser.scroll_through(chromium)
    assert chromium.execute_script("return document.documentElement.scrollWidth") <= width
    overflow = chromium.execute_script(
        "return [...document.querySelectorAll('figure, .plot svg')].filter(e =>"
        " e.getBoundingClientRect().right > innerWidth + 1).length"
    )
    assert overflow == 0
    ground = chromium.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}[theme]
    if kept := os.environ.get("SCREENSHOTS"):
        picture = chromium.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"}
        )
        path = Path(kept, f"{width}-{theme}.png")
        path.write_bytes(base64.b64decode(picture["data"]))


def test_the_switch_changes_the_theme_of_page_and_charts(seen: Chrome) -> None:
    ink = "return getComputedStyle(document.querySelector('#classes .xtick text')).fill"
    before = seen.execute_script(ink)
    choice = Select(seen.find_element(By.ID, "theme"))
    choice.select_by_value("dark")
    time.sleep(0.5)
    assert seen.execute_script(ink) != before
    choice.select_by_value("auto")


@pytest.mark.parametrize("theme", browser.THEMES)
def test_no_serious_violation_of_accessibility(chromium: Chrome, folder: Path, theme: str) -> None:
    browser.look(chromium, 1600, theme)
    chromium.get((folder / "artifacts/sample/report.html").as_uri())
    browser.scroll_through(chromium)
    assert serious(chromium) == []


# Not looked at: the strokes of the drawings and the folded tables, which would take minutes and are
# of the same markup as the table that stands open.
_AXE = {
    "include": [["body"]],
    "exclude": [[".plot"], ["figure details"], ["#made-of details"]],
}


def serious(chromium: Chrome) -> list[tuple[str, list[str]]]:
    """The rules of axe, WCAG AA among them, that the page breaks badly, and where."""
    found = Axe().run(chromium, _AXE, {"resultTypes": ["violations"]})["violations"]
    return [
        (each["id"], [node["html"][:120] for node in each["nodes"]][:3])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def ready(chromium: Chrome, address: str) -> None:
    """The drawing box, its network loaded."""
    browser.look(chromium, 900, "light")
    browser.complaints(chromium)
    browser.requests(chromium)
    chromium.get(f"{address}draw.html")
    for _ in range(100):
        if chromium.find_element(By.ID, "state").text == "The network is ready.":
            return
        time.sleep(0.1)
    pytest.fail(f"the network was not loaded: {browser.complaints(chromium)}")


def test_what_is_drawn_is_answered_with_five_classes(chromium: Chrome, address: str) -> None:
    ready(chromium, address)
    pad = chromium.find_element(By.ID, "pad")
    stroke = ActionChains(chromium, duration=20).move_to_element_with_offset(pad, 0, -150)
    stroke.click_and_hold().move_by_offset(20, 150).move_by_offset(-20, 150).release().perform()
    for _ in range(50):
        answers = chromium.find_elements(By.CSS_SELECTOR, "#answers-list li")
        if answers:
            break
        time.sleep(0.1)
    assert len(answers) == 5
    shares = [float(each.text.split()[1].rstrip("%")) for each in answers]
    assert shares == sorted(shares, reverse=True)
    assert serious(chromium) == []
    assert browser.complaints(chromium) == []
    assert all(url.startswith(address) for url in browser.requests(chromium))
    chromium.find_element(By.ID, "clear").click()
    assert not chromium.find_elements(By.CSS_SELECTOR, "#answers-list li")


READ = """
const [urls, done] = arguments;
(async () => {
  const found = [];
  for (const url of urls) {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { image: square, place, probabilities } = await read(
      context.getImageData(0, 0, image.width, image.height));
    found.push({ square: [...square], place, probabilities: [...probabilities] });
  }
  return found;
})().then(done, (error) => done(String(error)));
"""


def test_page_and_python_agree_on_100_images(chromium: Chrome, address: str, folder: Path) -> None:
    ready(chromium, address)
    with zipfile.ZipFile(folder / "data/sample/trainPart1.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))[::3][:100]
        contents = [archive.read(name) for name in names]
    urls = [f"data:image/png;base64,{base64.b64encode(each).decode()}" for each in contents]
    found = chromium.execute_async_script(READ, urls)
    classifier = Classifier(folder / "artifacts/sample/characters.pt")
    assert len(found) == 100
    for content, said in zip(contents, found, strict=True):
        framed = classifier.prepare(content, "image")
        square = np.array(said["square"], np.uint8).reshape(framed.image.shape)
        assert (square == framed.image).all()
        assert said["place"] == pytest.approx(framed.place, abs=1e-12)
        wanted = classifier.predict(content).probabilities
        assert said["probabilities"] == pytest.approx(wanted, abs=1e-5)


def test_the_server_gives_the_report_and_no_other_file(address: str) -> None:
    assert b"Three questions" in requests.get(address, timeout=10).content
    for path in ("params.yaml", "../params.yaml", "%2e%2e/params.yaml", "artifacts/", "runtime/"):
        assert requests.get(address + path, timeout=10).status_code == 404


def test_without_npm_the_report_says_so_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="npm is not installed"):
        tool.fetch_runtime(tmp_path / "runtime")


def test_another_package_than_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho other > $4/package.tgz\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(InputError, match="sha512"):
        tool.fetch_runtime(tmp_path / "runtime")
    assert not (tmp_path / "runtime").exists()


def test_a_report_that_was_not_made_is_named(tmp_dir: Path) -> None:
    with pytest.raises(InputError, match=r"artifacts/sample/report\.html"):
        tool.server("sample", 0, tmp_dir)
