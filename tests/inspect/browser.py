"""An installed Chromium for the tests of the explorer's page: one a module, without a network.

from tests.inspect.browser import browser, opened  # noqa: F401  the fixture

def test_x(browser, tmp_path):
    with opened(browser, tmp_path, small(), "#graph") as page:
        ...
"""

import shutil
from collections.abc import Iterator, Mapping
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium is installed on this machine")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


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
    page.wait_for_selector("#page[data-ready]")
    try:
        yield page
    finally:
        context.close()
    assert faults == []


def foreign(url: str, file: Path) -> bool:
    """Whether a request is for something else than the page and its worker."""
    return not (url.split("#")[0] == file.as_uri() or url.startswith("blob:"))


def drawn(page: Any) -> None:
    """Wait until the drawing that is shown is there."""
    page.wait_for_selector('.panel:not([hidden]) .canvas[aria-busy="false"]')


def violations(page: Any) -> list[str]:
    """What axe-core finds wrong with the page as it is shown now."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}" for each in found for node in each["nodes"]
    ]
