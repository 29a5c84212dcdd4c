"""An installed Chromium for the tests of the explorer's page: one a module, without a network.

from tests.inspect.browser import opened, running  # noqa: F401  the fixture

def test_x(browser, tmp_path):
    with opened(browser, tmp_path, small(), "#graph") as page:
        ...
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from symgraph.inspect.page import assemble
from tests.inspect.page_model import as_json

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(name="browser", scope="module")
def running() -> Iterator[Any]:
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium is installed on this machine")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@contextmanager
def opened(
    browser: Any, folder: Path, model: Mapping[str, Any] | str, address: str = "", **options: Any
) -> Iterator[Any]:
    """The page of a model (or of HTML) from disk, drawn; what it must not do is an error when it is closed.

    Nothing but the file itself and the worker that lays graphs out may be asked for, the console stays silent, and no
    dialog opens.
    """
    html = model if isinstance(model, str) else assemble(as_json(model), "A graph")
    file = folder / "page.html"
    file.write_text(html, "utf-8")
    faults: list[str] = []
    context = browser.new_context(viewport={"width": 1400, "height": 900}, **options)
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("request", lambda request: faults.append(request.url) if foreign(request.url, file) else None)
    page.on(
        "console",
        lambda said: faults.append(said.text) if said.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: (faults.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
    page.goto(f"{file.as_uri()}{address}")
    page.wait_for_selector("[data-ready]", state="attached")
    try:
        yield page
    finally:
        context.close()
    if faults:
        pytest.fail("\n".join(["the page did what it must not:", *faults]))


def foreign(url: str, file: Path) -> bool:
    """Whether a request is for something else than the page and its worker."""
    return not (url.split("#")[0] in (file.as_uri(), "about:srcdoc") or url.startswith("blob:"))


def drawn(page: Any) -> None:
    """Wait until the drawings that are shown are there."""
    shown = ".panel:not([hidden]) .canvas"
    page.wait_for_selector(shown)
    until(page, lambda: page.locator(f'{shown}[aria-busy="true"]').count() == 0)


def until(page: Any, holds: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something holds: the page's policy forbids the code that Playwright's own waiting would run in it."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            pytest.fail("it never came to hold")
        page.wait_for_timeout(20)


def violations(page: Any, *rules: str) -> list[str]:
    """What axe-core finds wrong with the page as it is shown now, by some rules or by all."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    found = axe.Axe().run(page, None, {"runOnly": list(rules)} if rules else None).response["violations"]
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}" for each in found for node in each["nodes"]
    ]
