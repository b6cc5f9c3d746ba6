"""An XRootD server on this machine."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import pytest

_LIMIT_S = 30

_CONFIGURATION = """\
all.export /
oss.localroot {folder}
all.adminpath {scratch}
all.pidpath {scratch}
xrd.port {port}
xrd.network nodnr
xrootd.chksum max 2 adler32
"""

# The server does not run as root, but may read what only root can.
_AS_NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=+dac_override --ambient-caps=+dac_override"


class XRootDServer:
    """Serves a folder, as a context manager; a test is skipped where there is no `xrootd` command.

    Parameters
    ----------
    folder : pathlib.Path
        What to serve.

    Attributes
    ----------
    port : int
        Where it listens, also after a restart.
    log : pathlib.Path
        What it has to say; it goes with the server.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("xrootd") is None:
            pytest.skip("no command xrootd (package xrootd-server)")
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            self.port = int(probe.getsockname()[1])
        self._scratch = Path(tempfile.mkdtemp(prefix="xrootd-"))
        self._scratch.chmod(0o777)
        self.log = self._scratch / "log"
        configuration = _CONFIGURATION.format(folder=self._folder.resolve(), scratch=self._scratch, port=self.port)
        (self._scratch / "server.cfg").write_text(configuration)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        shutil.rmtree(self._scratch)

    def address(self, name: str) -> str:
        """Where a file of the folder is."""
        return f"root://localhost:{self.port}//{name}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        user = _AS_NOBODY.split() if os.getuid() == 0 else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*user, "xrootd", "-c", self._scratch / "server.cfg"], stdout=log, stderr=log, cwd=self._scratch
            )
        deadline = time.monotonic() + _LIMIT_S
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("localhost", self.port), _LIMIT_S).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise RuntimeError(f"the XRootD server does not start:\n{self.log.read_text()}")

    def stop(self) -> None:
        """Kill it, without a warning."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Have it fall silent, until it is stopped."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def restart(self) -> None:
        """Kill it and start it again, at the same port."""
        self.stop()
        self.start()
