"""Slurm on this machine alone."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

_LIMIT_S = 60

_CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE
"""


@contextmanager
def slurm() -> Iterator[dict[str, str]]:
    """Start Slurm; the environment for its commands comes back. A test is skipped where it is not there."""
    for command in ("munged", "slurmctld", "slurmd", "sbatch"):
        if shutil.which(command) is None:
            pytest.skip(f"no command {command} (packages slurm-wlm and munge)")
    if os.getuid() != 0:
        pytest.skip("Slurm is started by root alone")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-")))
        folder.chmod(0o755)
        configuration = folder / "slurm.conf"
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        host = socket.gethostname().partition(".")[0]
        configuration.write_text(_CONFIGURATION.format(host=host, folder=folder, ports=_free_ports(2)))
        environment = {**os.environ, "SLURM_CONF": str(configuration)}

        def start(*command: str) -> None:
            with (folder / f"{command[0]}.log").open("w") as log:
                process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)

        names = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munged.pid"}
        names |= {"log-file": folder / "munged.txt", "seed-file": folder / "munged.seed"}
        start("munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in names.items()))
        start("slurmctld", "-D", "-f", str(configuration))
        start("slurmd", "-D", "-f", str(configuration))
        until = time.monotonic() + _LIMIT_S
        while (
            "idle" not in (found := subprocess.run(["sinfo"], env=environment, capture_output=True, text=True)).stdout
        ):
            if time.monotonic() > until:
                logs = "\n".join(log.read_text() for log in folder.glob("*.log"))
                raise RuntimeError(f"Slurm does not start: {found.stdout}{found.stderr}\n{logs}")
            time.sleep(0.1)
        yield environment


def _free_ports(number: int) -> list[int]:
    """Ports at which nobody listens."""
    probes = [socket.socket() for _ in range(number)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
