"""How a process of this program begins: what signals do, and what becomes of text that cannot be written.

It comes before everything that takes time, so it imports next to nothing.
"""

import io
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn, TextIO

from ttbar.errors import InputError, Interrupted

FROM_A_TERMINAL = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""The signals of keys and of a closed window, which go to all processes of a command."""

INTERRUPTS = (*FROM_A_TERMINAL, signal.SIGTERM)
"""The signals that interrupt a command; batch systems send SIGTERM."""

GRACE_S = 3.0
"""Seconds for tidying up after an interrupt. What is left then, such as a loop in C++, is cut short."""

DEBUG = "TTBAR_DEBUG"
"""Variable of the environment that stands for `--debug`, and tells worker processes of it."""

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_SHOW_CURSOR = b"\r\x1b[K\x1b[?25h"

_is_command = False
_last_line = threading.RLock()
_last_line_written = False
_tidying = False
_deferring = False
_interrupted = False


def begin() -> None:
    """Prepare the process of a command: from here on, an interrupt ends it with one line."""
    global _is_command
    _is_command = True
    guard_streams()
    sys.unraisablehook = _report_unraisable
    for number in INTERRUPTS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup and '&' in a script want it
            signal.signal(number, _interrupt)


def age() -> float:
    """Seconds since the process of a command was started; 0 if this process is no command."""
    if not _is_command:
        return 0.0
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as stat:  # noqa: PTH123, pathlib takes a while
        ticks = int(stat.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def end_with(parent: int) -> None:
    """End this process as soon as the one that has started it ends, however suddenly.

    Parameters
    ----------
    parent : int
        That process.
    """
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended before
        os._exit(1)


def guard_streams() -> None:
    """Make standard error lose what cannot be written, and standard output fail with a sentence."""
    for descriptor in range(3):  # where one is closed, the next file to be opened would take its place
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = _guarded(sys.stdout, _StandardOutput), _guarded(sys.stderr, _StandardError)


@contextmanager
def tidying() -> Iterator[None]:
    """Let the first interrupt of the context be a `KeyboardInterrupt`; the second one ends the process at once."""
    global _tidying
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()
    _tidying = True
    try:
        yield
    finally:
        _tidying = False


@contextmanager
def deferring() -> Iterator[None]:
    """Let an interrupt wait for the end of the context, which must be soon; only the main thread is interrupted."""
    global _deferring
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = _interrupted
    _deferring = True
    try:
        yield
    finally:
        _deferring = False
    if _interrupted and not before:
        raise KeyboardInterrupt


def interrupted() -> bool:
    """Whether there was an interrupt."""
    return _interrupted


@contextmanager
def last_line() -> Iterator[bool]:
    """Give whether the context may write the last line on standard error: the first one may, no other."""
    global _last_line_written
    with _last_line:
        may, _last_line_written = not _last_line_written, True
        yield may


class _StandardError(io.FileIO):
    """Standard error: a full disk or a closed pipe is no reason to stop what it tells of."""

    def write(self, data: Any, /) -> int:
        """Write, or lose it."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


class _StandardOutput(io.FileIO):
    """Standard output: what was asked for must not get lost without a word."""

    def write(self, data: Any, /) -> int:
        """Write, or fail with a sentence."""
        try:
            return super().write(data)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())  # the rest must not fail again at the exit
            raise InputError(f"standard output cannot be written: {error.strerror}") from None


def _guarded(stream: TextIO | None, raw: type[io.FileIO]) -> Any:
    """Another stream in place of the one of the interpreter, which has none where the descriptor was closed."""
    if stream is None:
        return None
    return io.TextIOWrapper(
        io.BufferedWriter(raw(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=bool(stream.line_buffering),
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupt the command."""
    global _interrupted
    if _interrupted or not _tidying:
        _end()
    _interrupted = True
    if not _deferring:
        raise KeyboardInterrupt


def _watch(reader: int) -> None:
    """End the process when the main thread, which alone gets exceptions of signals, does not or must not go on."""
    while os.read(reader, 1)[0] not in INTERRUPTS:
        pass
    select.select([reader], [], [], GRACE_S)
    _end()


def _end() -> NoReturn:
    """End the process at once, with a line; its workers end with it."""
    with last_line() as may_write, suppress(Exception):
        if may_write:
            os.write(2, (_SHOW_CURSOR if os.isatty(2) else b"") + b"error: interrupted\n")
    os._exit(Interrupted.exit_code)


def _report_unraisable(unraisable: Any) -> None:
    """Report an exception that Python drops, unless it is an interrupt: then the watch ends the process."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
