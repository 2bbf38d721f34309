"""Bronze in a bucket: complete before the ledger says so, encrypted, and enough to replay everything from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_proxy import Fault, ServerError
from s3_server import CREDENTIALS, S3Bucket
from shop import Shop, orders

from ingestion.bronze_s3 import S3Bronze
from ingestion.loader import WarehouseLoader
from ingestion.report import BatchResult
from settings.errors import (
    AccessError,
    ConfigurationError,
    DataRejectedError,
    TillhouseError,
    UnavailableError,
)

pytestmark = [pytest.mark.minutes, pytest.mark.usefixtures("pauses")]


@pytest.fixture
def shop(tmp_path: Path, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("TILLHOUSE_BRONZE", f"s3://{s3_bucket.name}/bronze")
    return Shop.at(tmp_path / "home")


def deliver(shop: Shop) -> None:
    shop.deliver("a.csv", orders(range(5), bad=[9]))
    shop.deliver("b.csv", orders([5, 6]))


def forget_locally(shop: Shop, *, warehouse: bool = False) -> None:
    """Another machine: nothing but the bucket is left."""
    shutil.rmtree(shop.home.bronze)
    if warehouse:
        shop.home.warehouse.unlink()


def reload_all(shop: Shop) -> list[BatchResult]:
    return shop.service().reload("again").blocking


def test_every_delivery_is_in_the_bucket_and_encrypted_with_kms(
    shop: Shop, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLHOUSE_S3_KMS_KEY", "alias/tillhouse")
    deliver(shop)
    shop.run()
    keys = s3_bucket.keys("bronze/shop_orders/")
    names = sorted({key.rpartition("/")[2] for key in keys})
    assert names == ["batch.json", "store.orders.parquet", "store.orders.repeats.parquet"]
    assert len(keys) == 6
    for key in keys:
        head = s3_bucket.head(key)
        assert head["ServerSideEncryption"] == "aws:kms"
        assert "alias/tillhouse" in head["SSEKMSKeyId"]
    # What is not needed any more does not fill this machine's disk.
    assert not list(shop.home.bronze.rglob("*.parquet"))
    assert not list(shop.home.bronze.rglob(".*"))


def test_the_rows_are_those_of_a_local_bronze(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(shop)
    shop.run()
    state = shop.state()
    monkeypatch.delenv("TILLHOUSE_BRONZE")
    local = Shop.at(tmp_path / "local")
    deliver(local)
    local.run()
    assert local.state() == state


def test_a_lost_machine_comes_back_from_the_bucket_under_the_same_numbers(shop: Shop) -> None:
    deliver(shop)
    shop.run()
    state = shop.state()
    forget_locally(shop, warehouse=True)
    shutil.rmtree(shop.home.landing)
    assert reload_all(shop) == []
    assert shop.state() == state
    assert not list(shop.home.bronze.rglob("*.parquet"))


def test_a_rejected_file_is_accepted_and_a_loaded_one_withdrawn(shop: Shop, s3_bucket: S3Bucket) -> None:
    shop.change(quarantine_threshold={"share": 0, "rows": 0})
    shop.deliver("a.csv", orders(range(5), bad=[9]))
    assert shop.run().files_rejected == 1
    batch = shop.batch_of("a.csv", "rejected")
    forget_locally(shop)
    assert shop.service().accept(batch, "yes").rows_accepted == 5
    assert len(shop.ids()) == 5
    forget_locally(shop)
    shop.service().withdraw(batch, "no")
    assert shop.ids() == []
    assert b'"withdrawn"' in s3_bucket.get(f"bronze/shop_orders/{batch}/batch.json")
    forget_locally(shop, warehouse=True)
    assert reload_all(shop) == []
    assert shop.ids() == []


def test_a_file_that_was_refused_whole_leaves_nothing(shop: Shop, s3_bucket: S3Bucket) -> None:
    shop.deliver("a.csv", "")
    assert shop.run().files_rejected == 1
    assert s3_bucket.keys("bronze/") == []


def test_rows_that_are_judged_anew_are_kept_anew(shop: Shop, s3_bucket: S3Bucket) -> None:
    shop.deliver("a.csv", orders(range(3), bad=[9]))
    shop.run()
    shop.change(
        entities=[
            {"entity": "store.orders", "columns": {"total_amount": {"remove": ["ten"], "default": "3"}}}
        ]
    )
    forget_locally(shop)
    assert shop.service().reload("again", feed="shop_orders").blocking == []
    assert len(shop.ids()) == 4
    names = sorted(key.rpartition("/")[2] for key in s3_bucket.keys("bronze/"))
    assert names == ["batch.json", "store.orders.2.parquet", "store.orders.2.repeats.parquet"]


def test_a_missing_file_costs_its_delivery_alone(shop: Shop, s3_bucket: S3Bucket) -> None:
    deliver(shop)
    shop.run()
    batch = shop.batch_of("a.csv")
    s3_bucket.remove(f"bronze/shop_orders/{batch}/store.orders.parquet")
    forget_locally(shop, warehouse=True)
    (failed,) = reload_all(shop)
    assert (failed.batch_id, failed.rule) == (batch, "bronze")
    assert shop.ids() == ["00005", "00006"]


HARMS: dict[str, tuple[Fault | ServerError, type[TillhouseError]]] = {
    "slow down": (ServerError(503, "SlowDown"), UnavailableError),
    "kms": (ServerError(403, "AccessDenied", "may not kms:GenerateDataKey"), AccessError),
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("file", ["store.orders.parquet", "batch.json"])
def test_what_cannot_be_kept_is_not_loaded(shop: Shop, s3_bucket: S3Bucket, harm: str, file: str) -> None:
    """Bronze is complete before the ledger says so; afterwards the run ends as if nothing had been."""
    fault, error = HARMS[harm]
    deliver(shop)
    s3_bucket.proxy.harm(fault, method="PUT", path_has=file, times=1_000)
    with pytest.raises(error) as caught:
        shop.run()
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
    assert shop.ids() == []
    s3_bucket.proxy.heal()
    assert shop.run().files_loaded == 2
    state = shop.state()
    forget_locally(shop, warehouse=True)
    assert reload_all(shop) == []
    assert shop.state() == state


def test_a_put_whose_answer_was_lost_is_put_again(
    shop: Shop, s3_bucket: S3Bucket, pauses: list[float]
) -> None:
    deliver(shop)
    s3_bucket.proxy.harm(Fault("reset"), method="PUT", times=3)
    assert shop.run().files_loaded == 2
    assert len(pauses) == 3


@pytest.mark.parametrize(
    ("where", "name"), [(S3Bronze, "keep"), (S3Bronze, "note"), (WarehouseLoader, "load")]
)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_on_the_way_ends_in_the_state_of_no_crash(
    shop: Shop, tmp_path: Path, where: type, name: str, after: bool
) -> None:
    deliver(shop)
    crash(shop, where, name, after=after)
    shop.run()
    state = shop.state()
    forget_locally(shop, warehouse=True)
    assert reload_all(shop) == []
    assert shop.state() == state
    assert len(shop.ids()) == 7


def crash(shop: Shop, where: type, name: str, *, after: bool) -> None:
    class PowerCut(BaseException):
        pass

    step: Callable[..., Any] = getattr(where, name)

    def die(*arguments: Any, **named: Any) -> Any:
        if after:
            step(*arguments, **named)
        raise PowerCut

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, die)
        with pytest.raises(PowerCut):
            shop.run()


def test_a_withdrawal_that_the_bucket_did_not_hear_of_is_told_to_it_later(
    shop: Shop, s3_bucket: S3Bucket
) -> None:
    """Else a rebuild would bring the rows back."""
    deliver(shop)
    shop.run()
    batch = shop.batch_of("a.csv")
    s3_bucket.proxy.harm(ServerError(503, "SlowDown"), method="PUT", times=1_000)
    with pytest.raises(UnavailableError):
        shop.service().withdraw(batch, "back")
    assert shop.ids() == ["00005", "00006"]
    s3_bucket.proxy.heal()
    shop.run()
    assert b'"withdrawn"' in s3_bucket.get(f"bronze/shop_orders/{batch}/batch.json")


@pytest.mark.parametrize("location", ["file:///srv/bronze", "gdrive://x", "s3://key:secret@bucket/x"])
def test_a_place_that_bronze_cannot_be_kept_in_is_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    monkeypatch.setenv("TILLHOUSE_BRONZE", location)
    with pytest.raises(ConfigurationError) as caught:
        shop.run()
    assert "secret" not in str(caught.value)


def test_a_record_that_is_not_there_is_told(shop: Shop, s3_bucket: S3Bucket) -> None:
    deliver(shop)
    shop.run()
    batch = shop.batch_of("a.csv")
    s3_bucket.remove(f"bronze/shop_orders/{batch}/batch.json")
    (failed,) = shop.service().reload("again", batch_id=batch).blocking
    assert failed.rule == "bronze"
    bronze = S3Bronze(shop.home.bronze, s3_bucket.name, "bronze/")
    with pytest.raises(DataRejectedError):
        bronze.recall(shop.home.bronze / "shop_orders" / batch)
