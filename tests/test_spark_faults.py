"""A standalone cluster of Spark that falls apart."""

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from ttbar.analyses import agc_v1
from ttbar.errors import AnalysisError
from ttbar.execution import loop
from ttbar.executors import Where, engine

pyspark = pytest.importorskip("pyspark", reason="Spark is not installed: pip install -r requirements-spark.lock")


def test_a_cluster_lives_without_its_master_but_not_without_workers(tmp_path, monkeypatch, ledger):
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"spark://127.0.0.1:{port}"
    home = Path(pyspark.__file__).parent
    environment = os.environ | {"SPARK_HOME": str(home), "SPARK_NO_DAEMONIZE": "1"}

    with ExitStack() as stack:

        def start(*arguments):
            command = [home / "bin" / "spark-class", *map(str, arguments), "--host", "127.0.0.1", "--webui-port", "0"]
            with (tmp_path / "log").open("a") as log:
                process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        master = start("org.apache.spark.deploy.master.Master", "--port", port)
        until = time.monotonic() + 60
        while "Successfully started service 'sparkMaster'" not in (tmp_path / "log").read_text():
            assert time.monotonic() < until
            time.sleep(0.1)
        worker = start("org.apache.spark.deploy.worker.Worker", address, "--cores", 1, "--memory", "1g")
        with Where("spark", address, 1).start(loop.Setup(1, agc_v1.analysis), 300) as executor:
            assert executor.call(abs, -1) == 1
            master.kill()
            master.wait()
            assert executor.call(abs, -2) == 2
            ledger.add("scheduler killed", "recovered")
            monkeypatch.setattr(engine, "WAIT_S", 3.0)
            waiting = executor.submit(time.sleep, 600)
            worker.kill()
            with pytest.raises(AnalysisError, match=rf"Spark .*{address}.*--resume"):
                waiting.result(timeout=120)
            ledger.add("all workers killed", "detected")
