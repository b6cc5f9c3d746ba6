"""An HTTP server on this machine, with faults."""

import hashlib
import http.server
import random
import re
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Self


def root_like(size: int, seed: int) -> bytes:
    """What could be a ROOT file, as far as its first bytes tell; any bytes follow."""
    header = b"root" + (62400).to_bytes(4) + (100).to_bytes(4) + size.to_bytes(4)
    return header + random.Random(seed).randbytes(size - len(header))


Fault = Callable[["Answer", bytes], None]
"""What answers a request in place of the server, given the content of the file."""


class HTTPServer:
    """Serves files that it is given, as a context manager.

    Attributes
    ----------
    files : dict of str to bytes
        What it serves.
    faults : list of Fault
        What the next requests for a file meet, the first one first.
    requests : list of pairs of str
        Name and range (empty for the whole file) of the requests for a file that there were.
    ranges : bool
        Whether it can serve a part of a file.
    lengths : bool
        Whether it says how long a file is.
    versions : bool
        Whether it says which version of a file it serves.
    headers : dict of str to str
        What else it says of each file.
    digests : dict of str to str
        The adler32 that it says that a file has, None for the real one; it says nothing of other files.
    released : threading.Event
        What faults wait for.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.ranges = self.lengths = self.versions = True
        self.headers: dict[str, str] = {}
        self.digests: dict[str, str | None] = {}
        self.released = threading.Event()

    def __enter__(self) -> Self:
        bound = type("BoundAnswer", (Answer,), {"owner": self})
        self._server = http.server.ThreadingHTTPServer(("localhost", 0), bound)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def address(self, name: str) -> str:
        """Where a file is."""
        return f"http://localhost:{self._server.server_address[1]}/{name}"


class Answer(http.server.BaseHTTPRequestHandler):
    """An answer to a request."""

    owner: HTTPServer

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.owner.requests.append((name, self.headers.get("Range", "")))
        content = self.owner.files.get(name)
        with suppress(ConnectionError):  # a client may go away
            if self.owner.faults:
                self.owner.faults.pop(0)(self, content or b"")
            elif content is None:
                self.send_error(404)
            else:
                self.give(content)

    def do_HEAD(self) -> None:
        content = self.owner.files[self.path.lstrip("/")]
        self.begin(200, content, len(content))

    def give(self, content: bytes) -> None:
        """Answer as one should."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None or not self.owner.ranges:
            self.begin(200, content, len(content))
            self.wfile.write(content)
        elif int(asked[1]) >= len(content):
            self.send_error(416)
        else:
            part = content[int(asked[1]) : int(asked[2]) + 1]
            last = int(asked[1]) + len(part) - 1
            self.begin(206, content, len(part), **{"Content-Range": f"bytes {asked[1]}-{last}/{len(content)}"})
            self.wfile.write(part)

    def begin(self, status: int, content: bytes, length: int, **headers: str) -> None:
        """Send the head of an answer."""
        self.send_response(status)
        if self.owner.lengths:
            headers = {"Content-Length": str(length)} | headers
        if self.owner.versions:
            headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"'} | headers
        headers = self.owner.headers | headers
        name = self.path.lstrip("/")
        if name in self.owner.digests and self.headers.get("Want-Digest") == "adler32":
            headers["Digest"] = f"adler32={self.owner.digests[name] or format(zlib.adler32(content), 'x')}"
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, *message: object) -> None:
        pass


def refuse(status: int) -> Fault:
    """Give no file but an error."""
    return lambda answer, content: answer.send_error(status)


def cut(length: int) -> Fault:
    """Announce the whole file, give some bytes of it, and close when released."""

    def fault(answer: Answer, content: bytes) -> None:
        answer.begin(200, content, len(content))
        answer.wfile.write(content[:length])
        answer.owner.released.wait()

    return fault


def hold(length: int) -> Fault:
    """Give some bytes of the file, and the others only when released."""

    def fault(answer: Answer, content: bytes) -> None:
        answer.begin(200, content, len(content))
        answer.wfile.write(content[:length])
        answer.wfile.flush()
        answer.owner.released.wait()
        answer.wfile.write(content[length:])

    return fault


def silence(answer: Answer, content: bytes) -> None:
    """Give no answer before released, and then none either."""
    answer.owner.released.wait()


def redirect(name: str) -> Fault:
    """Send elsewhere."""

    def fault(answer: Answer, content: bytes) -> None:
        answer.send_response(302)
        answer.send_header("Location", answer.owner.address(name))
        answer.send_header("Content-Length", "0")
        answer.end_headers()

    return fault
