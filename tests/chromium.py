"""A headless Chromium for the tests of the page, where one is installed."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest

SWITCHES = """
--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
--disable-background-networking --disable-component-update --disable-sync
--hide-scrollbars --window-size=1440,1000
""".split()


@contextmanager
def browser(profile):
    """A driver whose profile is the empty folder `profile`; skips where none is."""
    webdriver = pytest.importorskip("selenium.webdriver")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(driver)
    running = webdriver.Chrome(options=options, service=service)
    try:
        yield running
    finally:
        running.quit()
