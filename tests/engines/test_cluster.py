"""A real cluster, every file of the sample company: what it leaves is what the embedded engine leaves."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from ingest_all import main as ingest_all
from shop import Shop
from standalone_cluster import Cluster, standalone_cluster

from ingestion.tokens import KEY_VARIABLE, TokenKey
from sample_data.generator import generate
from sample_data.plan import SamplePlan
from settings.home import PROJECT_ROOT, Home

PLAN = SamplePlan(orders=900, days=40, deliveries=1, seed=5, bad_rows=0.005, duplicate_rows=0.005)
SECRET = "a key for tests alone, which no log may show"  # noqa: S105  (no secret: the test looks for it)
CONFIGURATION = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.executor.memory": "512m",
    "spark.executor.cores": "1",
    "spark.cores.max": "2",
    # Many parts, so that both workers get some of a file and their order is put to the test.
    "spark.sql.files.maxPartitionBytes": "16384",
    "spark.log.level": "INFO",
}


@dataclass(frozen=True)
class Ran:
    """What both engines left, and everything that Spark wrote down meanwhile."""

    embedded: Shop
    spark: Shop
    cluster: Cluster
    said: str


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("cluster")
    embedded, spark = (Home(folder / name).ensure() for name in ("embedded", "spark"))
    generate(PLAN, embedded.landing, truth=folder / "truth.json")
    shutil.copytree(embedded.landing, spark.landing, dirs_exist_ok=True)  # copies keep the time of arrival
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, SECRET)
        ingest_all(str(embedded.root), "duckdb")
        events = folder / "events"
        events.mkdir()
        with standalone_cluster(folder / "daemons") as cluster:
            patch.setenv("TILLHOUSE_SPARK_MASTER", cluster.master)
            log = {
                "spark.eventLog.enabled": "true",
                "spark.eventLog.dir": f"file://{events}",
                "spark.eventLog.compress": "false",  # it is searched for the key
            }
            patch.setenv("TILLHOUSE_SPARK_CONFIGURATION", json.dumps({**CONFIGURATION, **log}))
            done = subprocess.run(
                [sys.executable, str(Path(__file__).with_name("ingest_all.py")), str(spark.root), "spark"],
                env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0, done.stderr[-3000:]
    written = [path for path in (*events.rglob("*"), *(folder / "daemons").rglob("*")) if path.is_file()]
    said = done.stdout + done.stderr + "".join(path.read_text(errors="replace") for path in written)
    return Ran(Shop(embedded), Shop(spark), cluster, said)


def test_both_workers_had_a_part_in_it(ran: Ran) -> None:
    assert {path.parent.parent.name for path in ran.cluster.executors()} == {"worker_1", "worker_2"}


def test_rows_quarantine_and_counts_are_equal(ran: Ran) -> None:
    one, two = ran.embedded.state(ledger=False), ran.spark.state(ledger=False)
    assert one["raw.store_orders"]
    assert one["ops.quarantine"]
    for table, rows in one.items():
        assert two[table] == rows, table


def test_the_ledger_differs_in_the_name_of_the_engine_alone(ran: Ran) -> None:
    query = "select feed, object_name, status, rule, rows_read, contract_version from ops.load_ledger order by all"
    assert ran.spark.query(query) == ran.embedded.query(query)
    assert ran.spark.query("select distinct engine from ops.load_ledger where status = 'loaded'") == [
        ("spark",)
    ]


def test_nothing_is_left_in_the_work_folder(ran: Ran) -> None:
    assert not list((ran.spark.home.root / "work").rglob("*"))


def test_the_key_of_tokens_and_the_addresses_are_in_no_log(ran: Ran) -> None:
    """Driver, executors, master, workers and the event log with its plans, at the level INFO."""
    key = TokenKey.from_secret(SECRET.encode())
    assert ran.spark.query("select count(*) from raw.store_customers where email_token is not null") != [(0,)]
    assert "tillhouse_token_key" in ran.said, "the plans are in what is searched"
    for secret in (SECRET.encode(), key.inner_pad, key.outer_pad):
        for form in (secret.decode("latin-1"), secret.hex(), base64.b64encode(secret).decode()):
            assert form.lower() not in ran.said.lower()
    assert "@example." not in ran.said
