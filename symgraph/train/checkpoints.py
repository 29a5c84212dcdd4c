"""Where a run's checkpoints go: one file that is replaced, or a folder of which the last few are kept."""

import os
import re
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeAlias

import attrs

from symgraph.errors import CheckpointError, DataError
from symgraph.files import UNFINISHED
from symgraph.train.callbacks import Mode, mode_of, whole

_NAME = re.compile(r"step-(\d+)\.safetensors")
BEST = "best.safetensors"


def _every(value: Any) -> int | None:
    return None if value is None else whole("every", value)


def _keep(value: Any) -> int | None:
    return None if value is None else whole("keep", value)


def _path(value: Any) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise CheckpointError(f"{value!r} is not a path", hint="Give the name of a file or a folder.")
    return Path(value)


@attrs.frozen
class Checkpoints:
    """A folder of checkpoints: one after each epoch and, with `every`, after each so many steps.

    The last `keep` are kept, all of them where it is None: an older one is deleted when a newer one is whole on the
    disk. With `best_by`, such as "val_loss", `best.safetensors` is that of the epoch with the best value so far;
    `mode` says whether smaller ("min") or larger ("max") is better. Any of them can be resumed from, and the folder
    stands for the latest. Raises DataError, CheckpointError.

    >>> Checkpoints("runs/first", every=500, keep=2, best_by="val_accuracy", mode="max").file(1500).as_posix()
    'runs/first/step-000001500.safetensors'
    """

    folder: Path = attrs.field(converter=_path)
    every: int | None = attrs.field(default=None, converter=_every)
    keep: int | None = attrs.field(default=3, converter=_keep)
    best_by: str | None = None
    mode: Mode = attrs.field(default="min", converter=mode_of)
    each_epoch: bool = True

    def file(self, step: int) -> Path:
        """The checkpoint after so many steps."""
        return self.folder / f"step-{step:09d}.safetensors"

    def clear(self) -> None:
        """Delete what a process that was killed within a save has left."""
        for path in self.folder.glob(UNFINISHED):
            with suppress(OSError):
                path.unlink()

    def prune(self, step: int) -> None:
        """Delete what is too old, now that the checkpoint after `step` is there. Later ones are left alone."""
        known = sorted(number for number in _steps(self.folder) if number <= step)
        for number in known[: -self.keep] if self.keep is not None else ():
            with suppress(OSError):  # a file too many is no reason to end a run
                self.file(number).unlink()


Target: TypeAlias = str | os.PathLike[str] | Checkpoints


def _steps(folder: Path) -> dict[int, Path]:
    try:
        found = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} cannot be read: {_reason(error)}") from None
    return {int(match[1]): path for match, path in found if match}


def _reason(error: Exception) -> str:
    """What the system says, without the path; a ValueError is about a path that cannot be one."""
    return getattr(error, "strerror", None) or str(error)


def latest(folder: str | os.PathLike[str]) -> Path | None:
    """The checkpoint of the most steps in a folder, None where there is none.

    >>> latest("no/such/folder") is None
    True
    """
    steps = _steps(Path(folder))
    return steps[max(steps)] if steps else None


def resumed_from(resume: Any, target: Target | None) -> Path | None:
    """The file to go on from, None for a new start; raises CheckpointError where there should be one.

    `resume` is a file, a folder of checkpoints, None or False, or True: the checkpoint of this run, if there is one.
    """
    if resume is None or resume is False:
        if isinstance(target, Checkpoints) and latest(target.folder) is not None:
            raise CheckpointError(
                f"{target.folder} holds the checkpoints of an earlier run",
                hint="Go on with that run by resume=True, or give this one another folder.",
            )
        return None
    if resume is True:
        if target is None:
            raise CheckpointError(
                "resume=True goes on from the checkpoint of this run, and none is named",
                hint='Write checkpoint="run.safetensors", resume=True.',
            )
        if isinstance(target, Checkpoints):
            return latest(target.folder)
        return path if os.path.lexists(path := _path(target)) else None
    path = resume.folder if isinstance(resume, Checkpoints) else _path(resume)
    if not os.path.isdir(path):  # noqa: PTH112  a path without permission is none, and read() says so
        return path
    found = latest(path)
    if found is None:
        raise CheckpointError(
            f"{path} holds no checkpoint to resume from", hint="Give the file or its folder."
        )
    return found


def check_file(what: str, path: Path) -> None:
    """Raise DataError where no file can be written at `path`: hours of training must not end in that."""
    try:
        reason = _obstacle(Path(os.path.realpath(path)))  # of a link, where it leads
    except (OSError, ValueError) as error:
        reason = _reason(error)
    if reason:
        raise DataError(f"{what} {path} cannot be written: {reason}", hint="Give the name of another file.")


def _obstacle(path: Path) -> str:
    """What stands in the way of a file, if nothing is raised."""
    if path.is_dir():
        return "it is a folder"
    if path.exists() and not path.is_file():
        return "it is no plain file"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    with TemporaryFile(dir=path.parent):
        pass
    if path.exists():
        with path.open("ab"):
            pass
    return ""


def check_folder(what: str, path: Path) -> None:
    """Make a folder where it is not there; raises DataError where no file can be written into it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            return
    except FileExistsError:
        reason = "it is a file"
    except (OSError, ValueError) as error:
        reason = _reason(error)
    raise DataError(f"{what} {path} cannot be written to: {reason}", hint="Give another folder.")
