"""A Spark cluster of this machine alone: a master and two workers as processes of their own, on 127.0.0.1."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyspark

SPARK = Path(pyspark.__file__).resolve().parent
PATIENCE = 240.0  # seconds until a process has said that it is ready


@dataclass(frozen=True)
class Cluster:
    """A running cluster: its address, and the folders in which the workers keep what executors write."""

    master: str
    work: tuple[Path, Path]

    def executors(self) -> list[Path]:
        """Folders of the executors that have run, `<worker>/<application>/<number>`."""
        return sorted(path for work in self.work for path in work.glob("app-*/*") if path.is_dir())


@contextmanager
def standalone_cluster(folder: Path) -> Iterator[Cluster]:
    """Start one master and two workers of one core each; stop them at the end."""
    with ExitStack() as stack:
        arguments = ["org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", "0"]
        address = stack.enter_context(
            _daemon([*arguments, "--webui-port", "0"], folder / "master", r"Starting Spark master at (\S+)")
        )
        works = (folder / "worker_1", folder / "worker_2")
        for work in works:
            arguments = ["org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--cores", "1"]
            arguments += ["--memory", "1g", "--webui-port", "0", "--work-dir", str(work), address]
            stack.enter_context(_daemon(arguments, work, r"(Successfully registered with master)"))
        yield Cluster(address, works)


@contextmanager
def _daemon(arguments: list[str], folder: Path, ready: str) -> Iterator[str]:
    """A process of Spark's, once a line of its log has matched; what the line's group says."""
    folder.mkdir(parents=True)
    environment = {
        **os.environ,
        "SPARK_HOME": str(SPARK),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(folder / "local"),
        "SPARK_DAEMON_MEMORY": "256m",
    }
    process = subprocess.Popen(
        [str(SPARK / "bin" / "spark-class"), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: list[str] = []
    told = threading.Event()

    def listen() -> None:
        assert process.stdout is not None
        with (folder / "daemon.log").open("w", encoding="utf-8") as log:
            for line in process.stdout:
                log.write(line)
                log.flush()
                found = re.search(ready, line)
                if found:
                    said.append(found[1])
                    told.set()
        told.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        told.wait(PATIENCE)
        assert said, (folder / "daemon.log").read_text(encoding="utf-8")
        yield said[0]
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        listener.join(30)
