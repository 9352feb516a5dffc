"""A headless Chromium that tells what it logged and what it asked for."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

THEMES = ("light", "dark")
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


@contextmanager
def opened() -> Iterator[Chrome]:
    """A browser; the test is skipped where there is none."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("chromium and chromium-driver are not installed (Debian's packages)")
    options = ChromeOptions()
    options.binary_location = program
    for flag in _FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = Chrome(options=options, service=Service(driver))
    browser.set_script_timeout(60)
    try:
        yield browser
    finally:
        browser.quit()


def look(browser: Chrome, width: int, theme: str, height: int = 900) -> None:
    """From now on the window is of this size and the system's theme is this."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@contextmanager
def slow(browser: Chrome, rate: int) -> Iterator[None]:
    """A processor that is so many times as slow."""
    browser.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": rate})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": 1})


@contextmanager
def without_scripts(browser: Chrome) -> Iterator[None]:
    """A browser that runs no scripts of pages."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def requests(browser: Chrome) -> set[str]:
    """The URLs that were asked for since the last call, data in the page apart."""
    messages = [json.loads(each["message"])["message"] for each in _log(browser, "performance")]
    found = {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
    return {url for url in found if not url.startswith(("data:", "blob:"))}


def console(browser: Chrome, *ignored: str) -> list[str]:
    """What the console has since the last call, but for information and other ignored levels."""
    rows = _log(browser, "browser")
    return [each["message"] for each in rows if each["level"] not in ("INFO", *ignored)]


def _log(browser: Chrome, kind: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = browser.get_log(kind)  # type: ignore[no-untyped-call]
    return found
