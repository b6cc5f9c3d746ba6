"""What runs in the processes of an engine, on machines where this package is not installed: it travels by value.

A slot of the engine has a child process with ROOT, which lives as long as the engine's own process. That sees nothing
but bytes, so it needs neither this package nor ROOT, and a crash costs it nothing.
"""

import io
import os
import shutil
import socket
import sys
import threading
import time
import zipfile
import zlib
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import ModuleType
from typing import Any

from ttbar.child import START_PATIENCE_S, Child, Died

IDLE_S = 600.0
"""A child that has had nothing to do for so long is ended: perhaps nobody is there any more who wants something."""

READY = bytes(ForkingPickler.dumps((True, None)))
"""What a setup answers that went well."""

ANSWER, DIED, NOT_STARTED, NOT_READY, NOT_UNPACKED = range(5)
"""What became of a question: it was answered, the child died, could not be started, was not made ready, or there was no
room for the package."""

NOT_BEGUN = {NOT_STARTED, NOT_READY, NOT_UNPACKED}
"""Those that are the fault of the worker: another one may answer."""


class Slots:
    """The children of a process of the engine.

    Parameters
    ----------
    name : str
        Name of the bundle.
    content : bytes
        The bundle, a zip file.
    setup : bytes
        The function that makes a child ready, as it is asked.
    patience : float
        Seconds without a sign of life after which a child is taken for dead.
    """

    def __init__(self, name: str, content: bytes, setup: bytes, patience: float) -> None:
        self.name, self._content, self._setup, self._patience = name, content, setup, patience

    def open(self, folder: str) -> None:
        """Unpack the bundle into a folder, unless it is there; that it cannot be is what each question is answered."""
        self._folder = Path(folder).absolute() / self.name
        self._fault = ""
        if not self._folder.exists():
            beside = self._folder.with_name(f".{self.name}-{os.getpid()}")
            try:
                with zipfile.ZipFile(io.BytesIO(self._content)) as packed:
                    packed.extractall(beside)
                with suppress(OSError):  # another process was faster
                    beside.rename(self._folder)
            except OSError as error:
                self._fault = f"{folder} cannot be written: {error.strerror}, on {socket.gethostname()}"
            shutil.rmtree(beside, ignore_errors=True)
        self._lock = threading.Lock()
        self._free: list[tuple[float, Child]] = []
        self._busy: list[Child] = []
        self._closed = False

    def close(self) -> None:
        """End all children, and remove the bundle."""
        with self._lock:
            self._closed = True
            children = [*self._busy, *(child for _, child in self._free)]
        for child in children:
            child.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def counted(self) -> int:
        """What the children have counted of what they do."""
        self.end_idle()
        with self._lock:
            return sum(int(child.counter.value) for child in self._busy)

    def end_idle(self) -> None:
        """End children that have nothing to do."""
        with self._lock:
            idle = [child for since, child in self._free if time.monotonic() - since > IDLE_S]
            self._free = [(since, child) for since, child in self._free if child not in idle]
        for child in idle:
            child.stop()

    def ask(self, question: bytes) -> tuple[int, Any]:
        """Ask a child that is free; what became of it comes back, with an answer or a reason."""
        if self._fault:
            return NOT_UNPACKED, self._fault
        self.end_idle()
        with self._lock:
            # Without site-packages' own start, which would put another installation of the package first.
            child = self._free.pop()[1] if self._free else Child(options=["-S"], path=[str(self._folder)])
            self._busy.append(child)
        try:
            return self._asked(child, question)
        finally:
            with self._lock:
                self._busy.remove(child)
                self._free.append((time.monotonic(), child))
                closed = self._closed
            if closed:
                child.stop()

    def _asked(self, child: Child, question: bytes) -> tuple[int, Any]:
        """Ask a child; it is started if it is not there."""
        here = socket.gethostname()
        child.counter.value = 0
        try:
            if child.start():
                answer = child.ask(self._setup, max(self._patience, START_PATIENCE_S))
                if answer != READY:
                    child.stop()
                    return NOT_READY, answer
        except Died as error:
            return NOT_STARTED, f"{error}, on {here}"
        try:
            return ANSWER, zlib.compress(child.ask(question, self._patience), 1)
        except Died as error:
            return DIED, f"{error}, on {here}"


def kept(slots: Slots, folder: str) -> Slots:
    """Slots that were opened in this process before, or else these, which are opened now.

    Parameters
    ----------
    slots : Slots
        The slots, as they have arrived with a task.
    folder : str
        Where to unpack the bundle.

    Returns
    -------
    Slots
        Those that live as long as the process: the state of a module that travels by value comes anew with each task.
    """
    registry = vars(sys.modules.setdefault("ttbar_slots", ModuleType("ttbar_slots")))
    if slots.name not in registry:
        slots.open(folder)
        registry[slots.name] = slots
    there: Slots = registry[slots.name]
    return there
