"""The report: what is on the page, and the page as a visitor's browser has it."""

import base64
import hashlib
import json
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import requests
from axe_core_python.selenium import Axe
from filelock import FileLock
from plotly.offline import get_plotlyjs_version
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from handwriting.classifier import Classifier
from handwriting.core.errors import InputError
from handwriting.reporting import charts, page
from tests import browser
from tests.workspace import ROOT, run
from tools import report as tool

REPORT = Path("artifacts/sample/report.html")
BUNDLE = ROOT / "handwriting/reporting/plotly-cartesian.min.js"
BUNDLE_SHA256 = "79542150855a52c567260e3137095dbe2b744e6d702a5cabe67da246942fba7a"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chrome]:
    with browser.opened() as opened:
        yield opened


@pytest.fixture
def seen(chromium: Chrome, reproduced: Path) -> Chrome:
    """The report, scrolled through on a wide screen; its logs begin with it."""
    browser.requests(chromium)
    browser.console(chromium)
    return scrolled(chromium, reproduced, 1600, "light")


@pytest.fixture
def url(reproduced: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The report as `make report` serves it; its runtime is fetched once for all workers."""
    runtime = ROOT / tool.RUNTIME
    try:
        runtime.parent.mkdir(exist_ok=True)
        with FileLock(runtime.parent / "lock"):
            tool.fetch_runtime(runtime)
    except InputError as problem:
        pytest.skip(f"no runtime for the demo: {problem}")
    monkeypatch.chdir(reproduced)
    with tool.server("sample", 0, runtime) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}/"
        serving.shutdown()


def scrolled(chromium: Chrome, reproduced: Path, width: int, theme: str) -> Chrome:
    browser.look(chromium, width, theme)
    chromium.get((reproduced / REPORT).as_uri())
    browser.scroll_through(chromium)
    return chromium


def test_names_are_escaped_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    monkeypatch.setitem(page.TEXTS, "evil", {"title": f"One: {evil}", "text": "{evil}"})
    table = pd.DataFrame({evil: [evil]})
    numbers, figure = {"evil": evil}, json.dumps({"data": [{"name": evil}], "layout": {}})
    sheets = [
        page.Sheet("evil", numbers, b"", 12, *each) for each in ([[(evil, evil)]], [[], [evil]])
    ]
    parts: list[page.Part | str] = [page.Chart("evil", numbers, figure, table), *sheets, evil]
    content = {"sections": [page.Section("evil", numbers, parts)], "packages": table}
    content |= dict.fromkeys(("title", "source", "data_card", "model_card"), evil)
    text = page.render("report.html", palette=charts.PALETTE, **content)
    assert "<img" not in text
    assert text.count("</script>") == 3 + 1  # the page's own, and the chart's


def test_the_page_draws_with_the_plotly_js_as_published_that_the_figures_are_written_for() -> None:
    version, content = get_plotlyjs_version(), BUNDLE.read_bytes()
    renew = f"npm pack plotly.js-cartesian-dist-min@{version}; its sha256 is BUNDLE_SHA256"
    assert f"plotly.js (cartesian - minified) v{version}\n".encode() in content[:200], renew
    assert hashlib.sha256(content).hexdigest() == BUNDLE_SHA256, renew


def test_the_report_is_whole_small_and_always_the_same(reproduced: Path, tmp_path: Path) -> None:
    before = (reproduced / REPORT).read_text()
    others = {each for each in page.TEXTS if each == "four" or "doubtful" in each}
    for identity in page.TEXTS.keys() - {"one", "two", "three", "speed"} - others:
        assert f'<figure id="{identity}"' in before, identity
    assert '<figure id="speed"' in before or page.TEXTS["speed"]["none"] in before
    answer = json.loads((reproduced / "metrics/sample/transfer/answer.json").read_text())["answer"]
    assert answer in before
    assert len(before.encode()) < 4_000_000  # less than the whole of plotly.js by itself
    for path in reproduced.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "artifacts").unlink()
    shutil.copytree(reproduced / REPORT.parent, tmp_path / REPORT.parent)
    run(tmp_path, "python", "-m", "stages.report.report", "sample")
    assert (tmp_path / REPORT).read_text() == before


def test_every_section_and_chart_is_seen_and_nothing_asked_of_the_network(seen: Chrome) -> None:
    found = seen.execute_script(
        "const all = (query, of) => [...document.querySelectorAll(query)].map(of);"
        "const count = (query) => (e) => [e.parentElement.id, e.querySelectorAll(query).length];"
        "return [all('main section', s => [s.id, s.innerText.length]), all('.plot', count("
        "'.point, .textpoint text, .hm image, .js-line, .bars path')),"
        "all('figure details', count('tbody tr')), all('.modebar-btn', b => b.dataset.title)]"
    )
    sections, marks, rows, buttons = found
    assert [name for name, length in sections if length < 80] == []
    assert len(marks) >= 28
    assert [name for name, count in marks + rows if not count] == []
    assert "Zoom" in buttons
    assert not any(title.startswith("Share") for title in buttons)
    assert browser.console(seen) == []
    assert {url.partition(":")[0] for url in browser.requests(seen)} == {"file"}


def test_the_page_stands_before_plotly_has_run(chromium: Chrome, reproduced: Path) -> None:
    browser.look(chromium, 1600, "light", height=300)  # too low for a chart to be near
    chromium.get((reproduced / REPORT).as_uri())
    wait = WebDriverWait(chromium, 20)
    wait.until(lambda page: page.execute_script("return document.readyState === 'complete'"))
    assert chromium.execute_script("return typeof Plotly") == "undefined"
    chromium.execute_script("document.querySelector('.plot').scrollIntoView()")
    wait.until(lambda page: page.execute_script("return typeof Plotly === 'object'"))


ENDS = (min(browser.WIDTHS), max(browser.WIDTHS))


@pytest.mark.parametrize("theme", browser.THEMES)
@pytest.mark.parametrize(
    "width", [pytest.param(w, marks=[pytest.mark.slow] * (w not in ENDS)) for w in browser.WIDTHS]
)
def test_both_themes_fit_three_widths(
    chromium: Chrome, reproduced: Path, width: int, theme: str
) -> None:
    scrolled(chromium, reproduced, width, theme)
    whole, wide, ground = chromium.execute_script(
        "return [document.documentElement.scrollWidth,"
        " [...document.querySelectorAll('figure, .plot svg')].filter(e =>"
        " e.getBoundingClientRect().right > innerWidth + 1).length,"
        " getComputedStyle(document.body).backgroundColor]"
    )
    assert (whole <= width, wide) == (True, 0)
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}[theme]
    if width == max(browser.WIDTHS):
        assert serious(chromium) == []


def test_the_slider_shows_the_images_of_the_map_and_the_switch_the_themes(seen: Chrome) -> None:
    ink = "getComputedStyle(document.querySelector('#classes .xtick text')).fill"
    (first, at_first), (_, at_second), before = seen.execute_script(
        "const look = document.querySelector('.look'), slider = look.querySelector('input');"
        "return [...[3, 4].map(i => { slider.value = i; slider.dispatchEvent(new Event('input'));"
        "return [look.querySelector('output').textContent,"
        f" getComputedStyle(look.querySelector('.tile')).backgroundPosition]; }}), {ink}]"
    )
    assert ", classified as " in first
    assert at_first != at_second
    choice = Select(seen.find_element(By.ID, "theme"))
    choice.select_by_value("dark")
    time.sleep(0.5)
    assert seen.execute_script(f"return {ink}") != before
    choice.select_by_value("auto")


# Not looked at: the strokes of the drawings and most folded tables, which would take minutes.
_AXE = {"include": [["body"]], "exclude": [[".plot"], ["figure details"]]}


def serious(chromium: Chrome) -> list[tuple[str, list[str]]]:
    """The rules of axe, WCAG AA among them, that the page breaks badly, and where."""
    found = Axe().run(chromium, _AXE, {"resultTypes": ["violations"]})["violations"]
    bad = [each for each in found if each["impact"] in ("serious", "critical")]
    return [(each["id"], [node["html"][:120] for node in each["nodes"]][:3]) for each in bad]


@pytest.fixture
def demo(chromium: Chrome, url: str) -> Chrome:
    """The demo, its network loaded; its logs begin with it."""
    browser.look(chromium, 900, "light")
    browser.console(chromium)
    browser.requests(chromium)
    chromium.get(f"{url}demo.html")
    ready = "return document.getElementById('state').textContent === 'The network is ready.'"
    WebDriverWait(chromium, 20).until(lambda page: page.execute_script(ready))
    return chromium


def test_what_is_drawn_is_answered_with_five_classes(demo: Chrome, url: str) -> None:
    pad = demo.find_element(By.ID, "pad")
    stroke = ActionChains(demo, duration=20).move_to_element_with_offset(pad, 0, -150)
    stroke.click_and_hold().move_by_offset(20, 150).move_by_offset(-20, 150).release().perform()
    answers = WebDriverWait(demo, 10).until(
        lambda page: page.find_elements(By.CSS_SELECTOR, "#predictions li")
    )
    shares = [float(each.text.split()[1].rstrip("%")) for each in answers]
    assert len(shares) == 5
    assert shares == sorted(shares, reverse=True)
    assert serious(demo) == []
    assert browser.console(demo) == []
    assert all(each.startswith(url) for each in browser.requests(demo))
    demo.find_element(By.ID, "clear").click()
    assert not demo.find_elements(By.CSS_SELECTOR, "#predictions li")


CLASSIFY = """
const [urls, done] = arguments;
(async () => {
  const found = [];
  for (const src of urls) {
    const file = Object.assign(new Image(), { src });
    await file.decode();
    const context = new OffscreenCanvas(file.width, file.height).getContext("2d");
    context.drawImage(file, 0, 0);
    const pixels = context.getImageData(0, 0, file.width, file.height);
    const { image, geometry, probabilities } = await classify(pixels);
    found.push({ image: [...image], geometry, probabilities: [...probabilities] });
  }
  return found;
})().then(done, (error) => done(String(error)));
"""


def test_page_and_python_agree_on_100_images(demo: Chrome, reproduced: Path) -> None:
    with zipfile.ZipFile(reproduced / "data/sample/trainPart1.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))[::3][:100]
        contents = [archive.read(name) for name in names]
    urls = [f"data:image/png;base64,{base64.b64encode(each).decode()}" for each in contents]
    found = demo.execute_async_script(CLASSIFY, urls)
    classifier = Classifier(reproduced / "artifacts/sample/characters.pt")
    assert len(found) == 100
    for content, answer in zip(contents, found, strict=True):
        framed = classifier.prepare(content, "image")
        assert answer["image"] == framed.image.ravel().tolist()
        assert answer["geometry"] == pytest.approx(framed.geometry, abs=1e-12)
        wanted = classifier.predict(content).probabilities
        assert answer["probabilities"] == pytest.approx(wanted, abs=1e-5)


def test_the_server_gives_the_report_and_no_other_file(url: str) -> None:
    with pytest.raises(InputError, match=r"artifacts/real/report\.html"):
        tool.server("real", 0, Path())
    assert b"Three questions" in requests.get(url, timeout=10).content
    for path in ("params.yaml", "../params.yaml", "%2e%2e/params.yaml", "artifacts/", "runtime/"):
        assert requests.get(url + path, timeout=10).status_code == 404


@pytest.mark.parametrize(
    ("npm", "problem"), [("", "npm is not installed"), ("echo other > $4/package.tgz", "sha512")]
)
def test_without_the_pinned_package_of_npm_the_report_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, npm: str, problem: str
) -> None:
    if npm:
        (tmp_path / "npm").write_text(f"#!/bin/sh\n{npm}\n")
        (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if npm else str(tmp_path))
    with pytest.raises(InputError, match=problem):
        tool.fetch_runtime(tmp_path / "runtime")
    assert not (tmp_path / "runtime").exists()
