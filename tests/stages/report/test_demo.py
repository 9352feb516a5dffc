"""The demo as `make report` serves it, in a browser; and what its server refuses."""

import base64
import http.client
import io
import socket
import struct
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from PIL import Image
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from handwriting.classifier import Classifier
from handwriting.core.errors import InputError
from tests import browser
from tests.stages.report.test_report import violations
from tools import report as tool


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chrome]:
    with browser.opened() as opened:
        yield opened


@pytest.fixture
def url(reproduced: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the report as `make report` serves it."""
    monkeypatch.chdir(reproduced)
    with tool.server("sample", 0) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


@pytest.fixture
def demo(chromium: Chrome, url: str) -> Chrome:
    """The demo on a phone; its logs begin with it."""
    browser.look(chromium, 390, "light", 844)
    browser.console(chromium)
    browser.requests(chromium)
    chromium.get(f"{url}/try")
    return chromium


@pytest.fixture(scope="module")
def pictures(reproduced: Path) -> list[bytes]:
    """Some images of trainPart1."""
    with zipfile.ZipFile(reproduced / "data/sample/trainPart1.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        return [archive.read(name) for name in names[::40]]


def shares(demo: Chrome) -> list[float]:
    """The five answers, once they are there."""
    texts = "return [...document.querySelectorAll('#best li span')].map(e => e.textContent)"
    found = WebDriverWait(demo, 20).until(lambda page: page.execute_script(texts))
    return [float(each.rstrip("%")) for each in found]


def test_what_is_drawn_is_answered_with_five_classes_on_the_first_screen(
    demo: Chrome, url: str
) -> None:
    pad = demo.find_element(By.ID, "pad")
    stroke = ActionChains(demo, duration=20).move_to_element_with_offset(pad, 0, -80)
    stroke.click_and_hold().move_by_offset(20, 80).move_by_offset(-20, 80).release().perform()
    found = shares(demo)
    assert len(found) == 5
    assert found == sorted(found, reverse=True)
    best = demo.find_element(By.ID, "best")
    assert best.rect["y"] + best.rect["height"] <= 844
    assert demo.find_element(By.ID, "seen").rect["height"] > 50
    assert violations(demo) == []
    assert browser.console(demo) == []
    assert all(each.startswith(url) for each in browser.requests(demo))
    demo.find_element(By.ID, "clear").click()
    assert not best.is_displayed()


def test_a_picture_is_framed_and_answered_as_by_predict(
    demo: Chrome, reproduced: Path, pictures: list[bytes], tmp_path: Path
) -> None:
    path, classifier = tmp_path / "a.png", Classifier(reproduced / "artifacts/sample/characters.pt")
    path.write_bytes(pictures[3])
    demo.find_element(By.ID, "file").send_keys(str(path))
    [(label, share), *_] = classifier.predict(pictures[3]).top()
    assert shares(demo)[0] == pytest.approx(100 * share, abs=0.06)
    assert f"most likely {label}" in demo.find_element(By.ID, "state").text
    uri = str(demo.find_element(By.ID, "seen").get_attribute("src"))
    seen = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert seen.tobytes() == classifier.prepare(pictures[3], "image").image.tobytes()


DROP = """
const bytes = Uint8Array.from(atob(arguments[0]), (each) => each.charCodeAt(0));
const transfer = new DataTransfer();
transfer.items.add(new File([bytes], "a.png", { type: "image/png" }));
const event = arguments[1] === "drop"
  ? new DragEvent("drop", { dataTransfer: transfer, cancelable: true })
  : new ClipboardEvent("paste", { clipboardData: transfer });
window.dispatchEvent(event);
"""


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted_and_the_network_chosen(
    demo: Chrome, pictures: list[bytes], how: str
) -> None:
    demo.execute_script(DROP, base64.b64encode(pictures[3]).decode(), how)
    first = shares(demo)
    choice = Select(demo.find_element(By.ID, "network"))
    assert [each.text[:10] for each in choice.options] == [f"Question {i}" for i in (1, 2, 3)]
    choice.select_by_index(1)
    WebDriverWait(demo, 20).until(lambda page: shares(page) != first)


def test_what_is_no_picture_or_blank_gets_one_line(demo: Chrome, tmp_path: Path) -> None:
    text = "return document.getElementById('state').textContent"
    Image.new("L", (50, 50), 255).save(tmp_path / "blank.png")
    (tmp_path / "text.png").write_text("no picture")
    for name, problem in {"blank.png": "a blank image", "text.png": "not an image"}.items():
        demo.find_element(By.ID, "file").send_keys(str(tmp_path / name))
        wanted = f"{text}.startsWith('No answer: {problem}')"
        WebDriverWait(demo, 20).until(expected_script(wanted))
        assert not demo.find_element(By.ID, "best").is_displayed()


DRAW = """
const pad = document.getElementById("pad"), { toBlob } = pad, wanted = [], done = arguments[0];
const said = () => document.getElementById("state").textContent;
const send = (kind, button) =>
  pad.dispatchEvent(new PointerEvent(kind, { button, pointerId: 1, clientX: 99, clientY: 250 }));
const draw = (button) => { send("pointerdown", button); send("pointerup", button); };
pad.setPointerCapture = () => {};
pad.toBlob = (then) => wanted.push(then);
send("pointerup", 0);
draw(2);
const before = wanted.length;
draw(0);
const during = said();
document.getElementById("clear").click();
toBlob.call(pad, (blob) => {
  wanted.forEach((then) => then(blob));
  done([before, wanted.length, during, said()]);
});
"""


def test_only_a_stroke_is_classified_and_clear_ends_the_wait(demo: Chrome) -> None:
    before, after, during, said = demo.execute_async_script(DRAW)
    assert (before, after) == (0, 1)
    assert during == "Working…"
    assert said == "Draw, drop, paste or open a picture."


def test_a_defect_is_said_in_one_line(demo: Chrome, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(Classifier, "predictions", fails)
    ActionChains(demo, duration=20).click(demo.find_element(By.ID, "pad")).perform()
    said = "return document.getElementById('state').textContent"
    wanted = "No answer: RuntimeError: out of memory."
    WebDriverWait(demo, 20).until(lambda page: page.execute_script(said) == wanted)


def expected_script(script: str) -> Callable[[Chrome], bool]:
    """A condition that a script is true."""
    return lambda page: bool(page.execute_script(script))


def test_the_served_report_leads_to_the_demo(chromium: Chrome, url: str) -> None:
    chromium.get(url)
    link = chromium.find_element(By.CSS_SELECTOR, "#try .button")
    assert link.is_displayed()
    chromium.execute_script("arguments[0].click()", link)
    assert chromium.current_url == f"{url}/try"
    assert chromium.find_element(By.ID, "pad").is_displayed()


def test_the_server_gives_the_report_and_no_file(url: str) -> None:
    with pytest.raises(InputError, match=r"artifacts/real/report\.html"):
        tool.server("real", 0)
    assert b"Three questions" in requests.get(url, timeout=10).content
    for path in ("params.yaml", "../params.yaml", "%2e%2e/params.yaml", "artifacts/", "predict"):
        assert requests.get(f"{url}/{path}", timeout=10).status_code == 404


def test_the_server_refuses_other_sites_and_large_bodies(url: str, pictures: list[bytes]) -> None:
    def post(headers: dict[str, str], query: str = "?network=0") -> int:
        target = f"{url}/predict{query}"
        return requests.post(target, pictures[0], headers=headers, timeout=20).status_code

    assert post({"Origin": url}) == 200
    assert post({}) == 403
    assert post({"Origin": "https://example.org"}) == 403
    rebound = {"Host": "example.org", "Origin": "http://example.org"}
    assert post(rebound) == 403
    assert requests.get(url, headers={"Host": "example.org"}, timeout=10).status_code == 403
    assert post({"Origin": url}, "?network=9") == 404
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    for size in (str(tool.MOST + 1), "9" * 5000):
        headers = {"Origin": url, "Content-Length": size}
        connection.request("POST", "/predict?network=0", headers=headers)
        assert connection.getresponse().status == 413
        connection.close()


def test_a_browser_that_goes_away_leaves_no_traceback(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, gone = threading.Event(), threading.Event()

    def waits(*_: object) -> str:
        asked.set()
        return "x" * 10_000_000 if gone.wait(20) else ""

    monkeypatch.setattr(tool, "demo", waits)
    host, port = url.removeprefix("http://").split(":")
    before = threading.active_count()
    with socket.create_connection((host, int(port)), 20) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset
        client.sendall(f"GET /try HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
        assert asked.wait(20)
    gone.set()
    while threading.active_count() > before:
        time.sleep(0.01)
    assert capsys.readouterr().err == ""
