"""Ctrl-C during training: noted between steps, so that what is saved is whole."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread

from symgraph.train.history import History


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C, between two steps; the message says how to resume.

    `history` is what came of it so far. The checkpoint, where one was asked for, is written.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C is noted, to be asked for between steps; a second one interrupts at once.

    Only the main thread sees signals, and a program that handles Ctrl-C in a way of its own keeps it.

    >>> with interruptible() as stopped:
    ...     stopped()
    False
    """
    if (
        current_thread() is not main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield lambda: False
        return
    noted: list[int] = []

    def note(number: int, frame: object) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(noted)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
