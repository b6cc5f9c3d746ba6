"""A bad network between a client and a server of this machine."""

import random
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

_BLOCK = 16_384


class Proxy:
    """Passes on what goes to a server and what comes back, as a context manager.

    Parameters
    ----------
    port : int
        Where the server listens.

    Attributes
    ----------
    port : int
        Where the proxy listens.
    blocks_per_s : float or None
        How many blocks of at most 16 kB may come back in a second, on each connection; None for any number.
    losses : float
        Probability to close a connection instead of passing a block on.
    on_bytes : callable
        Called with the number of bytes that have come back so far, before the next ones are passed on.
    lost : int
        How many connections were closed.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self.blocks_per_s: float | None = None
        self.losses = 0.0
        self.on_bytes: Callable[[int], object] = lambda number: None
        self.lost = 0
        self._bytes = 0
        self._random = random.Random(1)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("localhost", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._listener.close()
        with self._lock:
            for connection in self._open:
                connection.close()

    def address(self, name: str) -> str:
        """Where a file of the server is, seen through the proxy."""
        return f"root://localhost:{self.port}//{name}"

    def take_count(self) -> int:
        """How many bytes have come back; from now on they are counted from 0."""
        with self._lock:
            count, self._bytes = self._bytes, 0
        return count

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("localhost", self._server))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open += [client, server]
            threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True).start()

    def _pass_on(self, origin: socket.socket, target: socket.socket, back: bool) -> None:
        with suppress(OSError):  # one of the two has gone
            while block := origin.recv(_BLOCK):
                if back:
                    self._hinder(len(block))
                target.sendall(block)
        for end in (origin, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _hinder(self, number: int) -> None:
        with self._lock:
            self._bytes += number
            total = self._bytes
            lose = self._random.random() < self.losses
            self.lost += lose
        self.on_bytes(total)
        if lose:
            raise OSError("the connection is lost")
        if self.blocks_per_s:
            self._ended.wait(1 / self.blocks_per_s)
