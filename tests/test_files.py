"""Files that appear whole or not at all."""

import os
from pathlib import Path

import pytest

from symgraph.files import replace, replacing


def test_a_file_is_replaced_and_no_other_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a"
    replace(path, "old\n")
    replace(path, b"new")
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: BaseException
) -> None:
    path = tmp_path / "a"
    replace(path, "old")

    def failing(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(type(error)):
            replace(path, "new")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half of it")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_the_bytes_are_on_disk_before_they_have_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, real=real, name=name: (calls.append(name), real(*a))[1])
    replace(tmp_path / "a", "text")
    assert calls == ["fsync", "replace"]


def test_links_pipes_and_folders_stay_what_they_are(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    replace(real, "old")
    link.symlink_to(real)
    replace(link, "new")
    assert link.is_symlink() and real.read_text() == "new"
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        replace(tmp_path, "text")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        replace(pipe, "through")
        assert os.read(reading, 100) == b"through" and pipe.is_fifo()
    finally:
        os.close(reading)
    with pytest.raises(ValueError, match="null"):
        replace("a\0b", "text")
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "missing" / "a", "text")
