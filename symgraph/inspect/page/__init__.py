"""The explorer's page: one HTML file that holds all it needs and asks nothing of any network.

assemble : model as JSON, title -> HTML

The page's script and style are built from the TypeScript in src/ into built/ (`npm run build` in this folder); Graphviz
as WebAssembly is in vendored/, renewed by `python -m symgraph.inspect.page.renew`. The model and Graphviz ride along
compressed, as data that no browser runs; what runs is named by its hash in the page's content security policy.
"""

import base64
import gzip
import hashlib
from functools import cache
from html import escape
from importlib import resources

_LEVEL = 6  # of gzip: the sizes that level 9 saves are not worth its time on large models


def assemble(model_json: str | bytes, title: str) -> str:
    """The page as HTML: the same bytes for the same model.

    `model_json` is the Model of src/model.ts as JSON text (UTF-8 where it is bytes), `title` what the browser's window
    shows. No name in the model can run or be read as HTML: the model is data, and the policy forbids all scripts but
    the page's own, and every request.

    >>> page = assemble('{"version": 1}', "a <graph>")
    >>> page.startswith("<!doctype html>"), "<title>a &lt;graph&gt;</title>" in page
    (True, True)
    """
    script, style = _shipped("built/page.js"), _shipped("built/page.css")
    model = model_json.encode() if isinstance(model_json, str) else model_json
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy(script, style)}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n',
            f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n",
            '<div id="page" class="page"><main class="waiting"><h1>Loading the graph</h1>',
            "<noscript><p>This page needs JavaScript, all of which it carries.</p></noscript></main></div>\n",
            f'<script type="application/gzip" id="model">{_packed(model)}</script>\n',
            f'<script type="application/gzip" id="graphviz">{_graphviz()}</script>\n',
            f"<script>{script}</script>\n</body>\n</html>\n",
        )
    )


def policy(script: str, style: str) -> str:
    """The content security policy of a page with this script and style: nothing is loaded and nothing else runs.

    Trusted types keep text from becoming markup or code, where the browser knows them. 'wasm-unsafe-eval' and
    worker-src are for Graphviz, which runs off the main thread.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'sha256-{_hash(script)}' 'wasm-unsafe-eval'",
            f"style-src 'sha256-{_hash(style)}'",
            "worker-src blob:",
            "form-action 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types symgraph",
        )
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, _LEVEL, mtime=0)).decode()


@cache
def _shipped(name: str) -> str:
    """A file of this folder; what would end the element that it stands in is not in it (tests hold it to that)."""
    return resources.files(__name__).joinpath(name).read_text("utf-8")


@cache
def _graphviz() -> str:
    return _packed(_shipped("vendored/viz.js").encode())
