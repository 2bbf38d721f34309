"""A bucket is somebody else's too: what is read is what was listed, whole, whatever happens on the way."""

from __future__ import annotations

import gzip
import hashlib
import tracemalloc
from pathlib import Path

import pytest
from faulty_proxy import Fault, ServerError
from s3_server import CREDENTIALS, S3Bucket

from ingestion import s3
from ingestion.landing import FolderStore, LandingObject, ObjectNotReadyError
from ingestion.landing.s3 import S3Store
from ingestion.retries import ATTEMPTS
from settings.errors import AccessError, ConfigurationError, ExitCode, TillhouseError, UnavailableError

CONTENT = b"id,amount\n" + b"".join(b"%05d,10.00\n" % number for number in range(2_000))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    return made


@pytest.fixture
def store(s3_bucket: S3Bucket, pauses: list[float]) -> S3Store:
    return S3Store(s3_bucket.name, "shop/")


def names(store: S3Store, glob: str = "*.csv") -> list[str]:
    return [item.name for item in store.list_objects(glob).objects]


def only(store: S3Store, glob: str = "*.csv") -> LandingObject:
    (item,) = store.list_objects(glob).objects
    return item


def content_of(store: S3Store, work: Path) -> bytes:
    with store.open(only(store), work) as opened:
        content = opened.stream.read()
        assert opened.path.read_bytes() == content
        opened.check_unchanged()
    return content


# ---------------------------------------------------------------------- listing


def test_objects_below_the_prefix_come_in_the_order_of_their_names(
    store: S3Store, s3_bucket: S3Bucket
) -> None:
    for key in (
        "shop/b.csv",
        "shop/a.csv",
        "shop/c.txt",
        "shop/B.csv",
        "shopping/d.csv",
        "e.csv",
        "shop/.f.csv",
    ):
        s3_bucket.put(key, "x")
    s3_bucket.put("shop/folder.csv/", "")
    assert names(store) == ["B.csv", "a.csv", "b.csv"]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.csv", ["top.csv"]),
        ("2026/*/*.csv", ["2026/11/a.csv"]),
        ("2026/11/a.csv", ["2026/11/a.csv"]),
        ("**/*.csv", ["2026/11/a.csv", "2026/b.csv", "top.csv"]),
        ("2026/**", ["2026/11/a.csv", "2026/b.csv"]),
        ("2025/*.csv", []),
    ],
)
def test_a_glob_means_what_it_means_in_a_folder(
    store: S3Store, s3_bucket: S3Bucket, tmp_path: Path, glob: str, expected: list[str]
) -> None:
    for name in ("top.csv", "2026/b.csv", "2026/11/a.csv", ".hidden/c.csv", "2026/.d.csv"):
        s3_bucket.put(f"shop/{name}", "x")
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    assert names(store, glob) == expected
    assert [item.name for item in FolderStore(tmp_path / "folder").list_objects(glob).objects] == expected


def test_a_glob_looks_only_where_it_can_match(store: S3Store, s3_bucket: S3Bucket) -> None:
    """A bucket may hold a million objects elsewhere."""
    names(store, "2026/11/*.csv")
    assert s3_bucket.proxy.count("GET", "prefix=shop%2F2026%2F11%2F") == 1
    assert s3_bucket.proxy.count("GET", "delimiter=%2F") == 1


def test_many_keys_are_listed_page_by_page(
    store: S3Store, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "PAGE_KEYS", 10)
    for number in range(25):
        s3_bucket.put(f"shop/{number:05d}.csv", b"")
    assert names(store) == [f"{number:05d}.csv" for number in range(25)]
    assert s3_bucket.proxy.count("GET", "list-type=2") == 3
    assert s3_bucket.proxy.count("GET", "continuation-token") == 2


@pytest.mark.parametrize(
    "name",
    ["*.csv", "a[1].csv", "%2e%2e%2fetc.csv", "'; drop table x;--.csv", "a b+ü 日.csv", "k" * 1015 + ".csv"],
)
def test_a_key_is_data_and_never_a_path(store: S3Store, s3_bucket: S3Bucket, work: Path, name: str) -> None:
    s3_bucket.put(f"shop/{name}", CONTENT)
    with store.open(only(store), work) as opened:
        assert opened.path.parent == work
        assert opened.path.stem.isalnum()
        assert opened.path.stat().st_mode & 0o777 == 0o600
        assert opened.stream.read() == CONTENT


@pytest.mark.parametrize("name", ["../../etc/passwd.csv", "/etc/passwd.csv", "a//b.csv", "a/../b.csv"])
def test_a_key_that_climbs_stays_where_it_is(
    store: S3Store, s3_bucket: S3Bucket, work: Path, name: str
) -> None:
    s3_bucket.put(f"shop/{name}", CONTENT)
    item = only(store, "**/*.csv")
    assert item.name == name
    with store.open(item, work) as opened:
        assert opened.path.parent == work
        assert opened.stream.read() == CONTENT


@pytest.mark.parametrize("name", ["evil\u202evsc.csv", "nul\x00.csv", "bell\x07.csv"])
def test_a_key_that_would_fool_a_reader_is_refused_and_shown_in_the_open(
    store: S3Store, s3_bucket: S3Bucket, name: str
) -> None:
    s3_bucket.put(f"shop/{name}", "x")
    listing = store.list_objects("*.csv")
    assert not listing.objects
    (skipped,) = listing.skipped
    assert "\\u" in skipped.name
    assert skipped.name.isprintable()


def test_a_key_that_says_unfinished_is_left_and_reported(store: S3Store, s3_bucket: S3Bucket) -> None:
    s3_bucket.put("shop/a.csv.part", "half")
    listing = store.list_objects("*.csv")
    assert not listing.objects
    assert [item.name for item in listing.skipped] == ["a.csv.part"]


# ---------------------------------------------------------------------- reading what was listed


def test_copies_are_removed_when_they_have_been_used(store: S3Store, s3_bucket: S3Bucket, work: Path) -> None:
    """The first reading (to know the content) keeps a copy for the second (to check it), which uses it up."""
    s3_bucket.put("shop/a.csv", CONTENT)
    item = only(store)
    for _ in range(2):
        with store.open(item, work) as opened:
            assert opened.stream.read() == CONTENT
    assert not list(work.iterdir())
    assert s3_bucket.proxy.count("GET", "a.csv") == 1


def test_no_copy_is_kept_beyond_the_room_for_them(
    store: S3Store, s3_bucket: S3Bucket, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.landing.s3.KEPT_BYTES", len(CONTENT) - 1)
    s3_bucket.put("shop/a.csv", CONTENT)
    assert content_of(store, work) == CONTENT
    assert not list(work.iterdir())


@pytest.mark.parametrize("swap", ["replace", "remove", "same size"])
def test_an_object_that_changed_since_the_listing_is_not_read(
    store: S3Store, s3_bucket: S3Bucket, work: Path, swap: str
) -> None:
    s3_bucket.put("shop/a.csv", "one")
    item = only(store)
    if swap == "remove":
        s3_bucket.remove("shop/a.csv")
    else:
        s3_bucket.put("shop/a.csv", "two" if swap == "same size" else "another")
    with pytest.raises(ObjectNotReadyError), store.open(item, work):
        pass
    assert not list(work.iterdir())


def test_where_versions_are_kept_a_replaced_object_is_still_read_as_it_was(
    store: S3Store, s3_bucket: S3Bucket, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second reading asks for the version that the first one saw: never a mixture, and nothing is lost."""
    monkeypatch.setattr("ingestion.landing.s3.KEPT_BYTES", 0)
    s3_bucket.keep_versions()
    s3_bucket.put("shop/a.csv", "one")
    item = only(store)
    with store.open(item, work) as opened:
        assert opened.stream.read() == b"one"
    s3_bucket.put("shop/a.csv", "two")
    with store.open(item, work) as opened:
        assert opened.stream.read() == b"one"
    assert s3_bucket.proxy.count("GET", "versionId=") == 1
    with store.open(only(store), work) as opened:
        assert opened.stream.read() == b"two"


def test_a_version_names_a_content_and_an_equal_listing_has_equal_versions(
    store: S3Store, s3_bucket: S3Bucket
) -> None:
    s3_bucket.put("shop/a.csv", "one")
    first, again = only(store), only(store)
    s3_bucket.put("shop/a.csv", "two")
    assert first == again != only(store)
    assert list(store.state("*.csv")) != []


def test_a_manifest_is_read_only_when_it_is_there_and_small(store: S3Store, s3_bucket: S3Bucket) -> None:
    s3_bucket.put("shop/a.json", "{}")
    assert store.read_companion("a.json", 10) == b"{}"
    assert store.read_companion("a.json", 1) is None
    assert store.read_companion("absent.json", 10) is None


def test_memory_does_not_grow_with_the_object(
    store: S3Store, s3_bucket: S3Bucket, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is streamed; the object here is larger than all that may be held of it."""
    monkeypatch.setattr(s3, "PIECE_BYTES", 1 << 16)
    content = bytes(24 << 20)
    s3_bucket.put("shop/a.csv", content)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_bucket.client.meta.endpoint_url)  # the proxy holds it whole
    straight = S3Store(s3_bucket.name, "shop/")
    item = only(straight)
    path = work / "copy"
    bucket = s3.Bucket(s3_bucket.name)
    del content
    tracemalloc.start()
    try:
        fetched = bucket.fetch("shop/a.csv", path, size_bytes=item.size_bytes)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert fetched.sha256 == hashlib.sha256(bytes(24 << 20)).hexdigest()
    assert peak < 80 << 20  # the server in this process holds the object about twice


# ---------------------------------------------------------------------- faults on the way


TROUBLES = {
    "slow down": ServerError(503, "SlowDown"),
    "internal error": ServerError(500, "InternalError"),
    "too many requests": ServerError(429, "TooManyRequests"),
    "reset": Fault("reset"),
    "reset before it was asked": Fault("reset", reaches_server=False),
    "closed": Fault("close"),
    "cut at the start": Fault("close", passes=0),
    "cut half way": Fault("close", passes=len(CONTENT) // 2),
    "reset half way": Fault("reset", passes=len(CONTENT) // 2),
    "cut before the last byte": Fault("close", passes=len(CONTENT) - 1),
    "corrupted": Fault("corrupt", passes=len(CONTENT) // 2),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_trouble_that_passes_is_waited_out(
    store: S3Store, s3_bucket: S3Bucket, work: Path, pauses: list[float], trouble: str
) -> None:
    s3_bucket.put("shop/a.csv", CONTENT)
    s3_bucket.proxy.harm(TROUBLES[trouble], method="GET", path_has="a.csv", times=ATTEMPTS - 1)
    assert content_of(store, work) == CONTENT
    assert s3_bucket.proxy.count("GET", "a.csv") == ATTEMPTS
    assert len(pauses) == ATTEMPTS - 1
    assert all(0 <= pause <= 10 for pause in pauses)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_trouble_that_stays_is_told_after_a_bounded_number_of_tries(
    store: S3Store, s3_bucket: S3Bucket, work: Path, trouble: str
) -> None:
    s3_bucket.put("shop/a.csv", CONTENT)
    item = only(store)
    s3_bucket.proxy.harm(TROUBLES[trouble], method="GET", path_has="a.csv", times=1_000)
    with pytest.raises(UnavailableError) as caught, store.open(item, work):
        pass
    assert s3_bucket.proxy.count("GET", "a.csv") == ATTEMPTS
    assert_tells(caught.value, f"s3://{s3_bucket.name}")
    assert caught.value.exit_code == ExitCode.UNAVAILABLE
    assert not list(work.iterdir())


def test_a_server_that_falls_silent_is_not_waited_for_for_ever(
    s3_bucket: S3Bucket, work: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "READ_SECONDS", 0.2)
    store = S3Store(s3_bucket.name, "shop/")
    s3_bucket.put("shop/a.csv", CONTENT)
    s3_bucket.proxy.harm(Fault("stall", passes=100), method="GET", path_has="a.csv")
    s3_bucket.proxy.harm(Fault("stall"), method="GET", path_has="a.csv")
    assert content_of(store, work) == CONTENT
    assert len(pauses) == 2


def test_a_server_that_is_not_there_is_told(
    s3_bucket: S3Bucket, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match="failed 6 times"):
        S3Store(s3_bucket.name, "shop/").list_objects("*")


REFUSALS = {
    "expired": (
        ServerError(400, "ExpiredToken", "token AKIATESTTESTTESTTEST expired"),
        "credentials",
        "expired",
    ),
    "denied": (ServerError(403, "AccessDenied", "user arn:x may not"), "credentials", "does not let us"),
    "unknown key": (
        ServerError(403, "InvalidAccessKeyId", "AKIATESTTESTTESTTEST"),
        "credentials",
        "does not let",
    ),
    "wrong secret": (ServerError(403, "SignatureDoesNotMatch"), "credentials", "does not let us"),
    "kms": (
        ServerError(403, "AccessDenied", "not authorized to perform kms:Decrypt on arn:x"),
        "kms",
        "KMS key",
    ),
    "kms disabled": (ServerError(400, "KMS.DisabledException"), "kms", "KMS key"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_ends_it_at_once_and_holds_no_secret(
    store: S3Store, s3_bucket: S3Bucket, work: Path, pauses: list[float], refusal: str
) -> None:
    """Trying again would lock the account, not open the door."""
    error, rule, said = REFUSALS[refusal]
    s3_bucket.put("shop/a.csv", CONTENT)
    item = only(store)
    s3_bucket.proxy.harm(error, method="GET", path_has="a.csv", times=1_000)
    with pytest.raises(AccessError, match=said) as caught, store.open(item, work):
        pass
    assert caught.value.rule == rule
    assert s3_bucket.proxy.count("GET", "a.csv") == 1
    assert not pauses
    assert_tells(caught.value, s3_bucket.name)


def test_without_credentials_nobody_is_asked(
    s3_bucket: S3Bucket, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    with pytest.raises(AccessError, match="no usable AWS credentials"):
        S3Store(s3_bucket.name, "shop/").list_objects("*")
    assert not s3_bucket.proxy.requests
    assert not pauses


def test_an_unknown_profile_is_a_mistake_in_the_settings(
    s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigurationError, match="ProfileNotFound"):
        S3Store(s3_bucket.name, "shop/")


def test_a_bucket_that_does_not_exist_is_a_mistake_in_the_feed(
    s3_bucket: S3Bucket, pauses: list[float]
) -> None:
    with pytest.raises(ConfigurationError, match="NoSuchBucket"):
        S3Store("no-such-bucket-here", "shop/").list_objects("*")
    assert not pauses


def test_an_archived_object_waits(store: S3Store, s3_bucket: S3Bucket, work: Path) -> None:
    s3_bucket.put("shop/a.csv", CONTENT)
    item = only(store)
    s3_bucket.proxy.harm(ServerError(403, "InvalidObjectState"), method="GET", path_has="a.csv")
    with pytest.raises(ObjectNotReadyError, match="archived"), store.open(item, work):
        pass


def test_a_compressed_object_stays_compressed(store: S3Store, s3_bucket: S3Bucket, work: Path) -> None:
    """Some senders say `Content-Encoding: gzip`; what counts is the bytes that lie there."""
    packed = gzip.compress(CONTENT)
    s3_bucket.client.put_object(Bucket=s3_bucket.name, Key="shop/a.csv", Body=packed, ContentEncoding="gzip")
    assert content_of(store, work) == packed


def assert_tells(error: TillhouseError, where: str) -> None:
    told = str(error)
    assert where in told
    assert error.remedy
    for secret in (CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"], "arn:"):
        assert secret not in told
