"""Renew the vendored Viz.js: `python -m symgraph.inspect.page.renew [VERSION]`, for those who work on symgraph.

npm fetches the package from the registry that it is set to use; what it brought must have the integrity that the
registry states, and the file is taken from it as it is. vendored/viz.json says what was taken.
"""

import argparse
import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from symgraph.errors import SymgraphError

PACKAGE = "@viz-js/viz"
FILE = "package/dist/viz-global.js"
VENDORED = Path(__file__).parent / "vendored"


def renew(version: str = "latest", into: Path = VENDORED) -> Mapping[str, str]:
    """Fetch this version of Viz.js and write it, with its record, into a folder; returns the record.

    Raises SymgraphError where npm is missing or fails, and where the package is not what the registry says it is.
    """
    stated = json.loads(_npm("view", f"{PACKAGE}@{version}", "version", "dist.integrity", "--json"))
    with tempfile.TemporaryDirectory() as folder:
        _npm("pack", f"{PACKAGE}@{stated['version']}", "--silent", "--pack-destination", folder)
        (packed,) = Path(folder).glob("*.tgz")
        package = packed.read_bytes()
    checked(package, stated["dist.integrity"])
    script = member(package, FILE)
    record = {
        "package": PACKAGE,
        "version": stated["version"],
        "file": FILE.removeprefix("package/"),
        "sha256": hashlib.sha256(script).hexdigest(),
        "integrity": stated["dist.integrity"],
        **_built_from(package),
    }
    (into / "viz.js").write_bytes(script)
    (into / "viz.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    return record


def checked(package: bytes, integrity: str) -> None:
    """Raise SymgraphError unless the bytes have this integrity, "sha512-" and the hash in base64.

    >>> checked(b"", "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==")
    """
    name, _, expected = integrity.partition("-")
    if name not in ("sha256", "sha384", "sha512"):
        raise SymgraphError(
            f"the registry states an integrity of an unknown kind: {integrity!r}", source=None
        )
    if base64.b64encode(hashlib.new(name, package).digest()).decode() != expected:
        raise SymgraphError(
            f"{PACKAGE} came with other bytes than the registry states: its {name} is not {expected}",
            hint="Fetch it again; if it stays so, do not use it.",
            source=None,
        )


def member(package: bytes, name: str) -> bytes:
    """One file of a package, a .tgz in memory; SymgraphError where it has none of this name."""
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as files:
        try:
            found = files.extractfile(name)
        except KeyError:
            found = None
        if found is None:
            raise SymgraphError(f"{PACKAGE} has no file {name} any more", source=None)
        return found.read()


def _built_from(package: bytes) -> Mapping[str, str]:
    """The versions of Graphviz and Expat in it, as the package states them."""
    stated = member(package, "package/lib/provenance.json").decode()
    found = {name: re.search(rf"/{name}-([\d.]+)\.tar", stated) for name in ("graphviz", "expat")}
    return {name: match[1] for name, match in found.items() if match is not None}


def _npm(*arguments: str) -> str:
    npm = shutil.which("npm")
    if npm is None:
        raise SymgraphError("npm, which fetches the package, is not on the PATH", source=None)
    done = subprocess.run([npm, *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SymgraphError(f"npm {arguments[0]} failed: {done.stderr.strip()}", source=None)
    return done.stdout


def main(arguments: list[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m symgraph.inspect.page.renew",
        description="Fetch a version of Viz.js (Graphviz as WebAssembly) and vendor it.",
        epilog="Afterwards run the tests of the page, and see whether the licences have changed.",
    )
    parser.add_argument("version", nargs="?", default="latest", help="a version, or latest")
    for name, value in renew(parser.parse_args(arguments).version).items():
        print(f"{name:10} {value}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SymgraphError as error:
        sys.exit(str(error))
