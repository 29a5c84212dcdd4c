"""Pictures of the explorer's views for README: LeNet on digits, in an installed Chromium.

python -m tests.inspect.screenshots [FOLDER OF MNIST]      writes tests/inspect/screenshots/*.png
"""

import io
import shutil
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import sync_playwright

import symgraph as sg
from models import lenet
from models.images import prepared
from symgraph.inspect.explorer.explore import Page
from tests.inspect.browser import FLAGS, NAMES, drawn

FOLDER = Path(__file__).parent / "screenshots"
STEPS, BATCH = 100, 32
COLOURS = 96  # of a picture: enough for a page, and a third of the bytes

# View, the node that is selected there, the colour scheme.
SHOTS: tuple[tuple[str, str, str], ...] = (
    ("graph", "declared/8", "light"),
    ("rewrites", "", "light"),
    ("gradient", "gradient/11", "dark"),
    ("values", "gradient/6", "light"),
    ("fusion", "fused/30", "dark"),
    ("memory", "fused/60", "light"),
    ("profile", "fused/60", "light"),
    ("code", "fused/30", "dark"),
)


def page(folder: str | None) -> Page:
    """LeNet after some steps of training, with a run of one batch."""
    graph = lenet.graph("adam")
    data = sg.data.mnist(folder)
    feed = prepared("float32", shape=(28, 28, 1))
    with sg.Session(graph, seed=0) as session:
        for batch in islice(sg.batches(data.train, size=BATCH, seed=0), STEPS):
            session.run("loss", feed(batch), update="train")
        return sg.explore(
            graph,
            feeds=feed(data.test[:BATCH]),
            variables=dict(session.variables),
            profile_steps=50,
            name="LeNet",
        )


def pictures(html: str) -> Iterator[tuple[str, bytes]]:
    """Each view's name and its picture as PNG."""
    chromium = next(filter(None, map(shutil.which, NAMES)))
    with TemporaryDirectory() as folder, sync_playwright() as driver:
        file = Path(folder) / "lenet.html"
        file.write_text(html, "utf-8")
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        for view, node, scheme in SHOTS:
            shown = browser.new_page(
                viewport={"width": 1280, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
            )
            shown.goto(f"{file.as_uri()}#{view}{f'/{node}' if node else ''}")
            shown.wait_for_selector("[data-ready]", state="attached")
            if view in ("graph", "rewrites"):
                drawn(shown)
            shown.wait_for_timeout(500)  # a transition of colours
            yield view, _small(shown.screenshot())
            shown.close()
        browser.close()


def _small(png: bytes) -> bytes:
    written = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
        written, "PNG", optimize=True
    )
    return written.getvalue()


def main() -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    for view, png in pictures(page(sys.argv[1] if len(sys.argv) > 1 else None).html):
        (FOLDER / f"{view}.png").write_bytes(png)
        print(f"{view}.png  {len(png):,} bytes")


if __name__ == "__main__":
    main()
