"""The report: what is on the page, and the page as a visitor's browser has it."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from axe_core_python.selenium import Axe
from markupsafe import Markup
from plotly.offline import get_plotlyjs_version
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from handwriting.reporting import charts, page, still, verdicts
from handwriting.reporting.dots import Row, dots, mini
from handwriting.reporting.matrix import matrix
from handwriting.reporting.results import Results
from handwriting.reporting.scales import linear
from tests import browser
from tests.workspace import ROOT, run

REPORT = Path("artifacts/sample/report.html")
BUNDLE = ROOT / "handwriting/reporting/plotly-cartesian.min.js"
BUNDLE_SHA256 = "79542150855a52c567260e3137095dbe2b744e6d702a5cabe67da246942fba7a"
SCREENS = {390: 844, 900: 900, 1440: 900}
ENDS = (min(SCREENS), max(SCREENS))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chrome]:
    with browser.opened() as opened:
        yield opened


def opened(
    chromium: Chrome, reproduced: Path, width: int = 1440, theme: str = "light", folds: bool = False
) -> Chrome:
    """The report; its logs begin with it."""
    browser.requests(chromium)
    browser.console(chromium)
    browser.look(chromium, width, theme, SCREENS[width])
    chromium.get((reproduced / REPORT).as_uri())
    if folds:
        chromium.execute_script("document.querySelectorAll('details').forEach(e => e.open = true)")
    return chromium


def test_names_are_escaped_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "</script><img src=x onerror=alert(1)>\"'"
    words = dict.fromkeys(("title", "text", "question", "answer", "hint", "kicker"), "{evil}")
    monkeypatch.setitem(page.TEXTS, "evil", words)
    table, numbers = pd.DataFrame({evil: [evil]}), {"evil": evil}
    figure = json.dumps({"data": [{"name": evil}], "layout": {}})
    sheets = [
        page.Sheet("evil", numbers, "data:", 12, *each) for each in ([[(evil, evil)]], [[], [evil]])
    ]
    parts = [page.Chart("evil", numbers, stills(evil), table, figure), *sheets]
    section = page.Section("evil", numbers, stills(evil), parts, parts)
    content = {"sections": [section], "packages": table, "palette": charts.PALETTE}
    content |= dict.fromkeys(("title", "source", "banner", "data_card", "model_card"), evil)
    text = page.render("report.html", **content)
    assert "<img" not in text
    assert "onerror=alert(1)&gt;&#34;&#39;" in text
    assert text.count("</script>") == 2 + 2  # the page's own, and those of the charts


def stills(name: str) -> Markup:
    """Every kind of figure with a name in it."""
    row = Row(name, name, 0.5, 0.4, 0.6, name, name, name)
    numbers = pd.DataFrame({"x": [name, "b"], "y": [0.1, 0.2], "by": [name, name]})
    z = pd.DataFrame([[1, 2], [3, 4]], [name, "b"], [name, "b"])
    lines = charts.lines(numbers, "x", "y", ["by"], (name, name), [name, "b"])
    images = pd.DataFrame([[0.0, 1.0, name, "b"]], columns=["x", "y", "actual", "predicted"])
    drawn = [
        dots([row], linear([0, 1]), band=True),
        mini([row], linear([0, 1])),
        still.plot(lines),
        still.bars(numbers, "x", "y", "by", (name, name)),
        still.cloud(images),
        matrix(z, (name, name), "{}", diagonal=name, picture=name),
    ]
    return Markup().join(drawn)


def test_the_page_draws_with_the_plotly_js_as_published_that_the_figures_are_written_for() -> None:
    version, content = get_plotlyjs_version(), BUNDLE.read_bytes()
    renew = f"npm pack plotly.js-cartesian-dist-min@{version}; its sha256 is BUNDLE_SHA256"
    assert f"plotly.js (cartesian - minified) v{version}\n".encode() in content[:200], renew
    assert hashlib.sha256(content).hexdigest() == BUNDLE_SHA256, renew


def test_the_report_is_whole_small_and_always_the_same(
    reproduced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (reproduced / REPORT).read_text()
    others = {each for each in page.TEXTS if each == "four" or "doubtful" in each}
    for identity in page.TEXTS.keys() - {"one", "two", "three"} - others:
        assert f'<figure id="{identity}"' in before, identity
    monkeypatch.chdir(reproduced)
    said = verdicts.headline(verdicts.primary(Results("sample")))
    assert f'<h2 id="two-title">{said}</h2>' in before
    for other in ("undecided", "equivalent<", "of interest at", " beats ", "relevant gain"):
        assert other not in before.partition('id="plotly"')[0]
    assert len(before.encode()) < 3_000_000  # half of it plotly
    for path in reproduced.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "artifacts").unlink()
    shutil.copytree(reproduced / REPORT.parent, tmp_path / REPORT.parent)
    run(tmp_path, "python", "-m", "stages.report.report", "sample")
    assert (tmp_path / REPORT).read_text() == before


def test_the_page_says_its_source_in_every_title_and_what_the_sample_is(
    chromium: Chrome, reproduced: Path
) -> None:
    opened(chromium, reproduced, folds=True)
    assert "say nothing about handwriting" in chromium.find_element(By.CLASS_NAME, "banner").text
    titled = "e => e.querySelector('h3 small') ?? e.closest('details')?.querySelector('small')"
    sources = chromium.execute_script(
        f"return [...document.querySelectorAll('figure')].map({titled}).map(e => e?.textContent)"
    )
    assert len(sources) > 30
    assert set(sources) == {"sample"}


def test_without_scripts_every_figure_is_drawn_and_every_text_is_read(
    chromium: Chrome, reproduced: Path
) -> None:
    with browser.without_scripts(chromium):
        opened(chromium, reproduced)
        ready = "return document.readyState == 'complete'"
        WebDriverWait(chromium, 30).until(lambda page: page.execute_script(ready))
        sizes = chromium.execute_script(
            "document.querySelectorAll('details').forEach(e => e.open = true);"
            "return [...document.querySelectorAll('figure')].map(e => [e.id,"
            " [...e.querySelectorAll('svg *, .tile, tbody td')].filter(e =>"
            " e.getBoundingClientRect().height > 0).length])"
        )
        assert len(sizes) > 30
        assert [name for name, marks in sizes if marks < 3 and name != "speed"] == []
        hidden = chromium.find_elements(By.CSS_SELECTOR, ".explore, #try .button, .look")
        assert not any(each.is_displayed() for each in hidden)


def test_plotly_is_run_when_a_person_asks_and_nothing_is_asked_of_the_network(
    chromium: Chrome, reproduced: Path
) -> None:
    opened(chromium, reproduced, folds=True)
    assert chromium.execute_script("return typeof Plotly") == "undefined"
    buttons = chromium.find_elements(By.CLASS_NAME, "explore")
    assert len(buttons) >= 12
    for button in buttons:
        chromium.execute_script("arguments[0].click()", button)
    marks = "'.point, .textpoint text, .hm image, .js-line, .bars path'"
    drawn = "e => [e.closest('figure').id, e.querySelectorAll(" + marks + ").length]"
    empty = f"return [...document.querySelectorAll('.plotly')].map({drawn}).filter(e => !e[1])"
    WebDriverWait(chromium, 30).until(lambda page: page.execute_script(empty) == [])
    titles = "return [...document.querySelectorAll('.modebar-btn')].map(e => e.dataset.title)"
    assert not any(title.startswith("Share") for title in chromium.execute_script(titles))
    browser.look(chromium, 1440, "dark")
    chromium.execute_script("arguments[0].click()", buttons[0])
    assert chromium.find_element(By.CLASS_NAME, "still").is_displayed()
    assert browser.console(chromium) == []
    assert {url.partition(":")[0] for url in browser.requests(chromium)} == {"file"}


@pytest.mark.parametrize("width", ENDS)
def test_the_answers_are_on_the_first_screen(
    chromium: Chrome, reproduced: Path, width: int
) -> None:
    opened(chromium, reproduced, width)
    cards = chromium.find_elements(By.CLASS_NAME, "card")
    assert len(cards) == 3
    assert max(each.rect["y"] + each.rect["height"] for each in cards) <= SCREENS[width]


def test_names_in_metrics_are_put_in_words(chromium: Chrome, reproduced: Path) -> None:
    opened(chromium, reproduced, folds=True)
    texts = "section .say, .fine, .answer, h2, h3, figcaption p, .legend, .name, .num, .axis-title"
    found = chromium.execute_script(
        f"return [...document.querySelectorAll('{texts}')].map(e => e.textContent)"
    )
    raw = re.compile(r"\b(?!images_)[a-z]+_[a-z]+\b(?!/)|seen-writers|full_data")
    assert [text for text in found if raw.search(text)] == []
    assert "linear probing" in chromium.find_element(By.CSS_SELECTOR, "#methods .legend").text


LABELS = """
return [...document.querySelectorAll(".area:not(.cloud), .ticks .axis")].flatMap((axis) => {
  const end = axis.closest(".scroll > div, .still").getBoundingClientRect().right;
  const texts = [...axis.querySelectorAll("text.c")].map((text) => text.getBoundingClientRect());
  const bad = texts.some((text, i) => text.right > end || (i && text.left < texts[i - 1].right));
  return bad ? [axis.closest("figure").id] : [];
});
"""


@pytest.mark.parametrize("width", ENDS)
def test_labels_of_axes_are_apart_and_within_their_figure(
    chromium: Chrome, reproduced: Path, width: int
) -> None:
    opened(chromium, reproduced, width, folds=True)
    assert chromium.execute_script(LABELS) == []
    assert chromium.find_element(By.CSS_SELECTOR, ".mini text").is_displayed()


@pytest.mark.parametrize("theme", browser.THEMES)
@pytest.mark.parametrize("width", SCREENS)
def test_both_themes_fit_three_widths(
    chromium: Chrome, reproduced: Path, width: int, theme: str
) -> None:
    opened(chromium, reproduced, width, theme, folds=True)
    whole, wide, ground = chromium.execute_script(
        "return [document.documentElement.scrollWidth, [...document.querySelectorAll('figure')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.id),"
        " getComputedStyle(document.body).backgroundColor]"
    )
    assert (whole <= width, wide) == (True, [])
    assert ground == {"light": "rgb(250, 250, 249)", "dark": "rgb(20, 19, 18)"}[theme]


@pytest.mark.parametrize("theme", browser.THEMES)
@pytest.mark.parametrize("width", ENDS)
def test_axe_finds_nothing(chromium: Chrome, reproduced: Path, width: int, theme: str) -> None:
    assert violations(opened(chromium, reproduced, width, theme)) == []
    if (width, theme) == (390, "dark"):
        opens = "document.querySelectorAll('section > details').forEach(e => e.open = true)"
        chromium.execute_script(opens)
        assert violations(chromium) == []


def violations(chromium: Chrome) -> list[tuple[str, list[str]]]:
    """The rules of axe that the page breaks, and where."""
    found = Axe().run(chromium, None, {"resultTypes": ["violations"]})["violations"]
    return [(each["id"], [node["html"][:120] for node in each["nodes"]][:3]) for each in found]


VITALS = """
const done = arguments[0], found = { paint: 0, shift: 0 };
new PerformanceObserver((list) => { found.paint = list.getEntries().at(-1).startTime; })
  .observe({ type: "largest-contentful-paint", buffered: true });
new PerformanceObserver((all) => all.getEntries().forEach((one) => { found.shift += one.value; }))
  .observe({ type: "layout-shift", buffered: true });
setTimeout(() => done(found), 1500);
"""


@pytest.mark.parametrize("width", ENDS)
def test_the_page_is_painted_soon_on_a_slow_processor_and_stands_still(
    chromium: Chrome, reproduced: Path, width: int
) -> None:
    with browser.slow(chromium, 4):
        found = opened(chromium, reproduced, width).execute_async_script(VITALS)
    print(width, found)
    assert 0 < found["paint"] < 2500
    assert found["shift"] <= 0.1


def test_the_slider_shows_the_images_of_the_map(chromium: Chrome, reproduced: Path) -> None:
    opened(chromium, reproduced, folds=True)
    (first, at_first), (_, at_second) = chromium.execute_script(
        "const look = document.querySelector('.look'), slider = look.querySelector('input');"
        "return [3, 4].map(i => { slider.value = i; slider.dispatchEvent(new Event('input'));"
        "return [look.querySelector('output').textContent,"
        " getComputedStyle(look.querySelector('.tile')).maskPosition]; })"
    )
    assert ", classified as " in first
    assert at_first != at_second


def test_a_printed_page_has_its_folds_open_and_no_controls(
    chromium: Chrome, reproduced: Path
) -> None:
    opened(chromium, reproduced, theme="dark")
    media = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    ink = chromium.execute_script("return getComputedStyle(document.querySelector('h1')).color")
    assert ink == "rgb(28, 25, 23)"
    assert chromium.find_element(By.ID, "confusion").rect["height"] > 500
    assert not chromium.find_element(By.CLASS_NAME, "explore").is_displayed()
    cut = "[...document.querySelectorAll('.scroll')].filter(e => e.offsetHeight < e.scrollHeight)"
    assert chromium.execute_script(f"return {cut}.map(e => e.ariaLabel)") == []


def test_cards_of_data_and_network_scroll_with_the_page(chromium: Chrome, reproduced: Path) -> None:
    opened(chromium, reproduced, folds=True)
    heights = "e => getComputedStyle(e).maxHeight"
    cards = f"return [...document.querySelectorAll('.prose.scroll')].map({heights})"
    assert chromium.execute_script(cards) == ["none", "none"]
