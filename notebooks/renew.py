"""Make the notebooks anew from their sources: run each from top to bottom, and keep its outputs.

    python -m notebooks.renew                       all, on scikit-learn's digits
    python -m notebooks.renew --data DIR NAME ...   these, on the data in DIR/mnist
    python -m notebooks.renew --check               run nothing, say which .ipynb is not in step with its .py

What is written is the same for the same outputs: no times, no ids by chance, no metadata of a machine.
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FOLDER = Path(__file__).parent
SECONDS = 600  # for a lesson on full data; on small data it takes some seconds
_ABSOLUTE = re.compile(
    r"(?<![\w./:-])(?:/(?:root|home|tmp|work|usr|opt|var|Users|private)/|[A-Z]:\\)[^\s\"'<>]*"
)
_EXTRAS = {"dev": ("jupytext", "nbformat", "nbclient", "ipykernel"), "train": ("matplotlib", "sklearn")}
_TO_CHECK = ("jupytext", "nbformat")
_METADATA = {
    "jupytext": {"formats": "ipynb,py:percent"},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def lessons(folder: Path = FOLDER) -> list[Path]:
    """The sources of the lessons, by name."""
    return [path for path in sorted(folder.glob("*.py")) if path.stem not in ("__init__", "renew")]


def read(source: Path) -> Any:
    """The notebook that a source describes, without outputs: cells with ids by their number, plain metadata."""
    import jupytext

    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata.clear()
    notebook.metadata.update(_METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", {}
    return notebook


def environment(empty: Path, data: Path | None = None) -> dict[str, str]:
    """The environment of a lesson's kernel: with the data of a folder, or with none but scikit-learn's digits.

    `empty` is a folder for what is thrown away: without data the user's cache is not looked into, and the network is
    not asked.
    """
    import matplotlib.font_manager  # lists the fonts once, which a lesson's first picture would tell of

    path = os.pathsep.join(filter(None, (str(FOLDER.parent), os.environ.get("PYTHONPATH"))))
    found = {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONWARNINGS": "default",
        "IPYTHONDIR": str(empty / "ipython"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # a debugger's word on frozen modules
        "NO_COLOR": "1",
    }
    if data is not None:
        return {**found, "SYMGRAPH_DATA": str(data)}
    (empty / "data").mkdir(exist_ok=True)
    nowhere = "http://127.0.0.1:9"
    closed = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), nowhere)
    return {
        **found,
        **closed,
        "SYMGRAPH_DATA": str(empty / "data"),
        "XDG_CACHE_HOME": str(empty / "cache"),
        "MPLCONFIGDIR": matplotlib.get_cachedir(),
    }


def execute(source: Path, data: Path | None = None, seconds: int = SECONDS) -> Any:
    """The notebook of a source with its outputs; raises nbclient's CellExecutionError where a cell fails."""
    from nbclient import NotebookClient

    notebook = read(source)
    with TemporaryDirectory() as empty:
        client = NotebookClient(
            notebook,
            timeout=seconds,
            kernel_name="python3",
            coalesce_streams=True,
            record_timing=False,
            extra_arguments=["--IPKernelApp.log_level=40"],  # its warnings are for those who open ports
            resources={"metadata": {"path": str(FOLDER.parent)}},
        )
        client.execute(env=environment(Path(empty), data))
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [_lean(output) for output in cell.outputs]
    notebook.metadata.clear()
    notebook.metadata.update(_METADATA)
    return notebook


def _lean(output: Any) -> Any:
    """An output with one form of each picture: a drawing is not kept as SVG and as HTML, too."""
    shown = output.get("data", {})
    if "image/svg+xml" in shown or "image/png" in shown:
        shown.pop("text/html", None)
    if "metadata" in output:
        output.metadata = {}
    return output


def write(notebook: Any, path: Path) -> None:
    """Write a notebook, whole or not at all."""
    import nbformat

    nbformat.validate(notebook)
    part = path.with_name(f".{path.name}.part")
    part.write_text(nbformat.writes(notebook, version=4).rstrip("\n") + "\n", "utf-8")
    part.replace(path)


def faults(source: Path) -> list[str]:
    """What is wrong with the notebook beside a source: cells that differ, outputs that no reader should see."""
    import nbformat

    path = source.with_suffix(".ipynb")
    if not path.exists():
        return [f"{path.name} is not there: make it with python -m notebooks.renew {source.stem}"]
    kept, wanted = nbformat.read(path, as_version=4), read(source)
    pairs = [[(cell.cell_type, cell.source) for cell in notebook.cells] for notebook in (kept, wanted)]
    if pairs[0] != pairs[1]:
        k = next((k for k, (a, b) in enumerate(zip(*pairs, strict=False)) if a != b), min(map(len, pairs)))
        return [f"{path.name} is not in step with {source.name}, from cell {k} on"]
    found = [] if kept.metadata == wanted.metadata else [f"{path.name} has metadata of a machine"]
    return found + [f"{path.name}, {fault}" for fault in odd_outputs(kept)]


def odd_outputs(notebook: Any) -> list[str]:
    """Outputs that no reader should see: errors, warnings, paths of a machine, and those of cells run out of order."""
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ordered = [cell.execution_count for cell in codes] == list(range(1, len(codes) + 1))
    found = [] if ordered else ["which was not run from top to bottom"]
    return found + [f"In[{k}]: {fault}" for k, cell in enumerate(codes, 1) for fault in _wrong(cell)]


def _wrong(cell: Any) -> list[str]:
    found = [
        f"{output.get('name', 'an error')}: {output.get('text', output.get('evalue', '')).strip()}"
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    texts = [_text(output) for output in cell.outputs]
    return found + [f"the path {match[0]}" for text in texts for match in _ABSOLUTE.finditer(text)]


def _text(output: Any) -> str:
    shown: Mapping[str, Any] = output.get("data", {})
    parts = [str(value) for kind, value in shown.items() if kind != "image/png"]
    return "\n".join([str(output.get("text", "")), *parts])


def _missing(check: bool) -> str:
    """Which packages are not installed, and the extras that bring them; nothing where all are there."""
    lacking = {
        extra: [name for name in names if find_spec(name) is None and (name in _TO_CHECK or not check)]
        for extra, names in _EXTRAS.items()
    }
    if not any(lacking.values()):
        return ""
    names = ", ".join(name for names in lacking.values() for name in names)
    extras = ",".join(extra for extra, names in lacking.items() if names)
    return f'this needs {names}, not installed here\n  Install the extra: pip install -e ".[{extras}]"'


def main(arguments: Sequence[str] | None = None) -> int:
    """Renew or check the lessons; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m notebooks.renew",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = {path.stem: path for path in lessons()}
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; default: all")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="a folder with mnist/ in it; default: small data"
    )
    parser.add_argument("--check", action="store_true", help="run nothing, look whether all are in step")
    args = parser.parse_args(arguments)
    chosen = [Path(name).stem for name in args.names] or list(known)
    if unknown := [name for name in chosen if name not in known]:
        parser.error(f"there is no lesson {unknown[0]}; there are {', '.join(known)}")
    if args.data is not None and not args.data.is_dir():
        parser.error(f"there is no folder {args.data}")
    if told := _missing(args.check):
        print(f"{parser.prog}: error: {told}", file=sys.stderr)
        return 2
    if not args.check:
        for name in chosen:
            write(execute(known[name], args.data and args.data.resolve()), known[name].with_suffix(".ipynb"))
            print(f"{name}.ipynb", flush=True)
    wrong = [fault for name in chosen for fault in faults(known[name])]
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
