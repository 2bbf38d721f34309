"""The promises about deliveries, on a bucket as in a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faulty_proxy import Fault, ServerError
from s3_server import S3Bucket
from shop import Shop, orders

from ingestion.intake import Intake
from settings.errors import AccessError, TillhouseError, UnavailableError

pytestmark = [pytest.mark.minutes, pytest.mark.usefixtures("pauses")]


@pytest.fixture
def shop(tmp_path: Path, s3_bucket: S3Bucket) -> Shop:
    return Shop.at(tmp_path / "home", location=f"s3://{s3_bucket.name}/orders")


def test_files_of_a_bucket_are_loaded_once_and_not_read_again(shop: Shop, s3_bucket: S3Bucket) -> None:
    """A second run with nothing new lists the keys and reads none of them."""
    s3_bucket.put("orders/a.csv", orders(range(5)))
    s3_bucket.put("orders/b.csv", orders(range(5, 10)))
    report = shop.run()
    assert (report.files_seen, report.files_loaded, report.rows_accepted) == (2, 2, 10)
    state = shop.state()
    before = s3_bucket.proxy.count("GET", ".csv")
    again = shop.run()
    assert (again.files_seen, again.files_loaded, again.files_duplicate) == (2, 0, 2)
    assert shop.state() == state
    assert s3_bucket.proxy.count("GET", ".csv") == before == 2


def test_the_same_rows_come_from_a_bucket_and_from_a_folder(
    shop: Shop, s3_bucket: S3Bucket, tmp_path: Path
) -> None:
    folder = Shop.at(tmp_path / "folder")
    for name, content in {"a.csv": orders(range(5), bad=[9]), "b.csv": orders([5]), "c.csv": "x"}.items():
        s3_bucket.put(f"orders/{name}", content)
        folder.deliver(name, content)
    shop.run()
    folder.run()
    of_the_place = {"modified_at", "object_version", "_arrived_at"}
    for table in ("raw.store_orders", "ops.quarantine", "ops.load_ledger"):
        columns = [
            name
            for name, *_ in shop.query(f"describe {table}")
            if name not in of_the_place | {"_ingested_at", "run_id", "first_seen_at", "loaded_at"}
        ]
        sql = f"select {', '.join(columns)} from {table} order by all"
        found = shop.query(sql)
        assert found
        assert found == folder.query(sql)


def test_the_same_content_under_another_key_is_a_no_op(shop: Shop, s3_bucket: S3Bucket) -> None:
    s3_bucket.put("orders/a.csv", orders(range(5)))
    shop.run()
    s3_bucket.put("orders/b.csv", orders(range(5)))
    report = shop.run()
    assert (report.files_loaded, report.files_duplicate) == (0, 2)
    assert shop.statuses() == {"a.csv": ["loaded"], "b.csv": ["duplicate"]}
    assert len(shop.ids()) == 5


def test_the_same_content_put_again_is_read_once_more_and_then_known(shop: Shop, s3_bucket: S3Bucket) -> None:
    s3_bucket.put("orders/a.csv", orders(range(5)))
    shop.run()
    s3_bucket.client.put_object(
        Bucket=s3_bucket.name,
        Key="orders/a.csv",
        Body=orders(range(5)).encode(),
        ServerSideEncryption="aws:kms",
    )
    state = shop.state(ledger=False)
    reads = []
    for _ in range(3):
        assert shop.run().files_duplicate == 1
        reads.append(s3_bucket.proxy.count("GET", "a.csv"))
    assert shop.state(ledger=False) == state
    assert reads[1] == reads[2] <= 2


@pytest.mark.parametrize(("same_name", "left"), [("new_delivery", 7), ("replace", 2)])
def test_a_changed_content_under_the_same_key(
    shop: Shop, s3_bucket: S3Bucket, same_name: str, left: int
) -> None:
    shop.change(same_name=same_name)
    s3_bucket.put("orders/a.csv", orders(range(5)))
    shop.run()
    s3_bucket.put("orders/a.csv", orders([11, 12]))
    assert shop.run().files_loaded == 1
    assert len(shop.ids()) == left
    assert shop.run().files_loaded == 0


def test_a_manifest_beside_an_object_is_waited_for_and_believed(shop: Shop, s3_bucket: S3Bucket) -> None:
    content = orders(range(5))
    shop.change(manifest={"suffix": ".manifest.json"}, glob="*")
    s3_bucket.put("orders/a.csv", content)
    (waiting,) = shop.run().waiting
    assert "manifest" in waiting.reason
    stated = {"rows": 5, "sha256": hashlib.sha256(content.encode()).hexdigest()}
    s3_bucket.put("orders/a.csv.manifest.json", json.dumps(stated))
    assert shop.run().files_loaded == 1
    s3_bucket.put("orders/b.csv", orders([7]))
    s3_bucket.put("orders/b.csv.manifest.json", json.dumps({"rows": 2}))
    (rejected,) = shop.run().batches
    assert rejected.rule == "manifest_mismatch"


def test_an_object_replaced_between_two_readings_is_left_and_taken_by_the_next_run(
    shop: Shop, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.landing.s3.KEPT_BYTES", 0)
    s3_bucket.put("orders/a.csv", orders(range(5)))
    with after_discovery(lambda: s3_bucket.put("orders/a.csv", orders([7, 8]))):
        report = shop.run()
    assert report.files_loaded == 0
    assert "changed" in report.waiting[0].reason
    assert shop.run().files_loaded == 1
    assert shop.ids() == ["00007", "00008"]


def test_content_that_was_corrupted_on_its_way_never_loads(
    shop: Shop, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that states no checksum: the two readings disagree, so the file waits, and the next run gets it right."""
    monkeypatch.setattr("ingestion.landing.s3.KEPT_BYTES", 0)
    monkeypatch.setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")
    monkeypatch.setattr("ingestion.s3.CHECKSUM_MODE", {})
    s3_bucket.put("orders/a.csv", orders(range(5)))
    s3_bucket.proxy.harm(Fault("corrupt", passes=120), method="GET", path_has="a.csv")
    report = shop.run()
    assert (report.files_loaded, len(report.waiting)) == (0, 1)
    assert shop.run().files_loaded == 1
    assert len(shop.ids()) == 5


TROUBLES: dict[str, tuple[Fault | ServerError, type[TillhouseError]]] = {
    "expired": (ServerError(403, "ExpiredToken"), AccessError),
    "slow down": (ServerError(503, "SlowDown"), UnavailableError),
}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("step", ["list", "know", "check"])
def test_a_run_that_broke_off_leaves_what_a_run_without_trouble_leaves(  # noqa: PLR0917  (fixtures and cases)
    shop: Shop,
    s3_bucket: S3Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
    step: str,
) -> None:
    """The run fails and loads nothing of what it could not read; running again gives the state of a good run."""
    monkeypatch.setattr("ingestion.landing.s3.KEPT_BYTES", 0)
    harm, error = TROUBLES[trouble]
    for number, name in enumerate(("a.csv", "b.csv")):
        s3_bucket.put(f"orders/{name}", orders(range(10 * number, 10 * number + 5)))
    good = Shop.at(tmp_path / "good", location=f"s3://{s3_bucket.name}/orders")
    good.run()

    def harm_now() -> None:
        s3_bucket.proxy.harm(harm, path_has="list-type" if step == "list" else "b.csv", times=1_000)

    if step != "check":
        harm_now()
    with after_discovery(harm_now if step == "check" else nothing), pytest.raises(error) as caught:
        shop.run()
    assert "a-secret" not in str(caught.value)
    s3_bucket.proxy.heal()
    report = shop.run()
    assert not report.blocking
    assert shop.state() == good.state()


def nothing() -> None:
    """Happens where nothing is to happen."""


@contextmanager
def after_discovery(then: Callable[[], None]) -> Iterator[None]:
    """Do something between the reading that knows a file and the one that checks it."""
    find = Intake._discover_all

    def find_and_then(intake: Intake) -> object:
        found = find(intake)
        then()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Intake, "_discover_all", find_and_then)
        yield
