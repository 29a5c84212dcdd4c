"""The cache of objects: what is kept is what was compiled, whatever happens to the disk."""

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import which

import attrs
import pytest

from symgraph.lowering.llvm import cache
from symgraph.lowering.llvm.jit import load, module_text
from symgraph.lowering.llvm.target import host

ROOT = Path(__file__).parents[3]
POSIX = pytest.mark.skipif(os.name != "posix", reason="owners and permissions are those of POSIX")


def text(number=1):
    return module_text([f"define i64 @f() #0 {{\n  ret i64 {number}\n}}"], [], host())


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def compiled(monkeypatch):
    """The modules that were compiled, in their order."""
    done = []
    compile_ = cache.object_code

    def spy(text, target, level):
        done.append(text)
        return compile_(text, target, level)

    monkeypatch.setattr(cache, "object_code", spy)
    return done


def entry(place):
    (path,) = place.glob("*.object")
    return path


def test_the_second_time_nothing_is_compiled(place, compiled):
    first = cache.object_for(text(), host())
    assert cache.object_for(text(), host()) == first
    assert compiled == [text()]
    assert load(first, ["f"]).addresses["f"]


def test_an_entry_is_of_its_text_and_its_target(place, compiled):
    narrow = attrs.evolve(host(), features="", width=16)
    for made, target in ((text(1), host()), (text(2), host()), (text(1), narrow)):
        cache.object_for(made, target)
    assert len(compiled) == 3
    other = attrs.evolve(host(), triple="other")
    keys = {cache.key_of(text(1), target, level) for target in (host(), narrow, other) for level in (0, 2)}
    assert len(keys) == 6


def test_a_key_depends_on_the_compiler(monkeypatch):
    keys = [cache.key_of(text(), host())]
    for name, value in (("_versions", lambda: ("0.1", "2.0")), ("_FORMAT", 0)):
        monkeypatch.setattr(cache, name, value)
        keys.append(cache.key_of(text(), host()))
    assert len(set(keys)) == 3


@POSIX
def test_the_cache_is_its_users_alone(place):
    cache.object_for(text(), host())
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE(entry(place).stat().st_mode) == 0o600
    assert [path.name for path in place.iterdir()] == [entry(place).name]


def truncations(content):
    return [content[:n] for n in (0, 1, len(content) // 2, len(content) - 1)]


def flips(content):
    places = random.Random(7).sample(range(8 * len(content)), 25)
    return [
        content[: bit // 8] + bytes([content[bit // 8] ^ 1 << bit % 8]) + content[bit // 8 + 1 :]
        for bit in places
    ]


@pytest.mark.parametrize(
    "damage", [truncations, flips, lambda content: [content + b"\0", b"\0" * len(content)]]
)
def test_a_damaged_entry_is_compiled_again(damage, place, compiled):
    right = cache.object_for(text(), host())
    path = entry(place)
    whole = path.read_bytes()
    damaged = damage(whole)
    for content in damaged:
        path.write_bytes(content)
        assert cache.object_for(text(), host()) == right
        assert path.read_bytes() == whole
    assert len(compiled) == 1 + len(damaged)


def test_an_entry_under_another_name_is_not_used(place, compiled):
    cache.object_for(text(1), host())
    entry(place).rename(place / f"{cache.key_of(text(2), host())}.object")
    assert cache.object_for(text(2), host()) != cache.object_for(text(1), host())
    assert len(compiled) == 3


@POSIX
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_an_entry_that_others_may_write_is_not_used(mode, place, compiled):
    cache.object_for(text(), host())
    entry(place).chmod(mode)
    cache.object_for(text(), host())
    assert len(compiled) == 2
    assert stat.S_IMODE(entry(place).stat().st_mode) == 0o600


@POSIX
def test_links_and_pipes_are_not_read(place, compiled, tmp_path):
    cache.object_for(text(), host())
    path, elsewhere = entry(place), tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    cache.object_for(text(), host())
    assert not path.is_symlink()
    path.unlink()
    os.mkfifo(path)
    cache.object_for(text(), host())
    path.unlink()
    path.mkdir()
    cache.object_for(text(), host())
    assert len(compiled) == 4


@POSIX
def test_what_belongs_to_another_user_is_not_used(place, compiled, monkeypatch):
    cache.object_for(text(), host())
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    cache.object_for(text(), host())
    assert cache.contents().reason == f"{place} belongs to another user"
    assert cache.clear() == 0
    monkeypatch.undo()
    assert len(compiled) == 2
    assert len(list(place.iterdir())) == 1


@POSIX
def test_a_folder_that_everybody_may_write_is_not_used(place, compiled):
    place.mkdir()
    place.chmod(0o777)
    for _ in range(2):
        cache.object_for(text(), host())
    assert len(compiled) == 2
    assert not list(place.iterdir())
    assert "everybody may write" in cache.contents().reason


# Disks that fail


@pytest.mark.parametrize("call", ["mkstemp", "write", "replace"])
@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_disk_that_takes_nothing_is_no_error(call, fault, place, compiled, monkeypatch):
    def fail(*args, **options):
        raise OSError(fault, os.strerror(fault))

    fdopen = os.fdopen

    class Full:
        def __init__(self, handle):
            self.file = fdopen(handle, "wb")

        def __enter__(self):
            return self

        def write(self, content):
            self.file.write(content[:10])
            fail()

        def __exit__(self, *error):
            self.file.close()

    if call == "mkstemp":
        monkeypatch.setattr(cache.tempfile, "mkstemp", fail)
    elif call == "write":
        monkeypatch.setattr(cache.os, "fdopen", lambda handle, mode: Full(handle))
    else:
        monkeypatch.setattr(cache.Path, "replace", fail)
    code = cache.object_for(text(), host())
    assert cache.object_for(text(), host()) == code
    assert len(compiled) == 2
    assert not list(place.iterdir())


@pytest.mark.skipif(which("unshare") is None, reason="a small disk is mounted with unshare, of Linux")
def test_a_full_disk_is_no_error(tmp_path):
    script = f"""
import os
from symgraph.lowering.llvm import cache
from symgraph.lowering.llvm.target import Target
compiled = []
def compile_(text, target, level):
    compiled.append(text)
    return text.encode() * 500
cache.object_code, cache._versions = compile_, lambda: ()
target = Target(16, 16, "", "")
texts = [str(1000 + n) for n in range(40)]
for turn in range(2):
    for text in texts:
        assert cache.object_for(text, target) == text.encode() * 500
kept = cache.contents()
assert 0 < kept.entries < 40, kept
assert len(compiled) == 40 + 40 - kept.entries
assert not [name for name in os.listdir({str(tmp_path)!r}) if name.startswith(".")]
assert cache.clear() == kept.entries
"""
    (tmp_path / "script.py").write_text(script)
    command = f"mount -t tmpfs -o size=32k,mode=700 none {tmp_path}/disk && exec {sys.executable} {tmp_path}/script.py"
    (tmp_path / "disk").mkdir()
    environment = {**os.environ, "SYMGRAPH_CACHE_DIR": str(tmp_path / "disk"), "PYTHONPATH": str(ROOT)}
    may = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"mount -t tmpfs none {tmp_path}/disk"], capture_output=True
    )
    if may.returncode:
        pytest.skip("this system does not let its users mount a small disk")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


@POSIX
@pytest.mark.parametrize("at", ["file", "under a file"])
def test_a_folder_that_cannot_be_made_is_no_error(at, tmp_path, compiled, monkeypatch):
    (tmp_path / "file").touch()
    path = tmp_path / "file" if at == "file" else tmp_path / "file" / "cache"
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", str(path))
    for _ in range(2):
        assert cache.object_for(text(), host())
    assert len(compiled) == 2
    assert "cannot be made" in cache.contents().reason


@POSIX
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write to every folder")
def test_a_folder_that_cannot_be_written_is_read(place, compiled):
    cache.object_for(text(1), host())
    place.chmod(0o500)
    for _ in range(2):
        cache.object_for(text(1), host())
        cache.object_for(text(2), host())
    assert len(compiled) == 3


# Where


@pytest.mark.skipif(sys.platform != "linux", reason="each system has another place")
def test_the_folder_is_the_systems(monkeypatch, tmp_path):
    monkeypatch.delenv("SYMGRAPH_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.folder() == (tmp_path / ".cache" / "symgraph", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == (tmp_path / "xdg" / "symgraph", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.folder() == (tmp_path / ".cache" / "symgraph", "")
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", "~/mine")
    assert cache.folder() == (tmp_path / "mine", "")


def test_without_a_home_it_works_without(monkeypatch, compiled):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for name in ("SYMGRAPH_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cache.Path, "home", homeless)
    assert cache.object_for(text(), host()) == cache.object_for(text(), host())
    assert len(compiled) == 2
    assert "no home folder" in cache.contents().reason


def test_off_is_off(monkeypatch, compiled, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", "off")
    for _ in range(2):
        cache.object_for(text(), host())
    assert len(compiled) == 2
    assert not list(tmp_path.iterdir())


# Its size


def fill(place, ages):
    """Entries of 1000 bytes, last used so many days ago."""
    place.mkdir(mode=0o700)
    for number, age in enumerate(ages):
        path = place / f"{number:064x}.object"
        path.write_bytes(b"\0" * 1000)
        then = time.time() - 86400 * age
        os.utime(path, (then, then))


def test_what_was_used_longest_ago_goes_first(place):
    fill(place, [3, 9, 1, 7, 5, 2, 8, 4])
    cache.tidy(place, 8000)
    assert len(list(place.iterdir())) == 8
    cache.tidy(place, 7999)
    left = sorted(int(path.stem, 16) for path in place.iterdir())
    assert left == [0, 2, 4, 5, 7]  # at most three quarters: 5 entries, those of 1 to 5 days


def test_what_is_used_stays(place, compiled):
    cache.object_for(text(), host())
    old = time.time() - 10 * 86400
    os.utime(entry(place), (old, old))
    cache.object_for(text(), host())
    assert entry(place).stat().st_mtime > old + 86400
    assert len(compiled) == 1


def test_only_what_is_the_caches_own_is_removed(place):
    fill(place, [1])
    old, new, foreign = (place / name for name in (".symgraph-a.part", ".symgraph-b.part", "thesis.txt"))
    for path in (old, new, foreign):
        path.touch()
    os.utime(old, (0, 0))
    os.utime(foreign, (0, 0))
    cache.tidy(place, 0)
    assert set(place.iterdir()) == {new, foreign}
    fill(place / "more", [1, 1])
    for path in (place / "more").iterdir():
        path.rename(place / path.name)
    assert cache.contents() == cache.Contents(place, "", 2, 2000)
    assert cache.clear() == 2
    assert set(place.iterdir()) == {foreign, place / "more"}


def test_writing_looks_after_the_size(place, monkeypatch):
    looked = []
    monkeypatch.setattr(cache, "tidy", looked.append)
    for number in range(100):
        cache._write(place if place.exists() else cache.folder()[0], cache.key_of(str(number), host()), b"")
    assert 0 < len(looked) < 30


# Many writers

WRITER = """
from symgraph.lowering.llvm import cache
place = cache.folder()[0]
turn = 0
while True:
    key, code = f"{turn % 8:064x}", f"{turn % 8}".encode() * 300_000
    cache._write(place, key, code)
    assert cache._read(place, key) == code
    turn += 1
    if turn == 1:
        print(flush=True)
"""


@POSIX
def test_writers_that_are_killed_leave_whole_entries_or_none(place):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    for writer in writers:
        writer.stdout.readline()
    for writer in writers:
        time.sleep(0.03)
        assert writer.poll() is None, writer.stderr.read()  # none has failed
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        for number in range(8):
            found = cache._read(place, f"{number:064x}")
            assert found in (None, str(number).encode() * 300_000)
    for path in place.glob(".*"):
        os.utime(path, (0, 0))
    cache.tidy(place)
    assert not list(place.glob(".*"))
    assert 0 < cache.contents().entries <= 8


def test_threads_share_the_cache(place):
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda n: cache.object_for(text(n % 4), host()), range(64)))
    assert all(made[n] == made[n % 4] for n in range(64))
    assert len(set(made)) == 4
    assert cache.contents().entries == 4
