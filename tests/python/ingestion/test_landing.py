"""A landing folder is somebody else's: only finished regular files are taken, and never by another's name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ingestion.landing import FolderStore, LandingObject, ObjectNotReadyError
from ingestion.locations import BucketLocation, DatabaseLocation, FolderLocation, read_location
from settings.errors import ConfigurationError
from settings.home import Home


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "landing"
    made.mkdir()
    return made


@pytest.fixture
def work(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    return made


def names(folder: Path, glob: str = "*.csv") -> list[str]:
    return [item.name for item in FolderStore(folder).list_objects(glob).objects]


def only(folder: Path, glob: str = "*.csv") -> LandingObject:
    (item,) = FolderStore(folder).list_objects(glob).objects
    return item


def test_files_come_in_the_order_of_their_names(folder: Path) -> None:
    for name in ("b.csv", "a.csv", "c.txt", "B.csv"):
        (folder / name).write_text("x")
    assert names(folder) == ["B.csv", "a.csv", "b.csv"]


def test_only_regular_visible_files_are_taken(folder: Path, tmp_path: Path) -> None:
    """Links lead elsewhere, a pipe would hang the run, hidden files belong to some program."""
    outside = tmp_path / "secret.csv"
    outside.write_text("not ours")
    (folder / "good.csv").write_text("x")
    (folder / ".hidden.csv").write_text("x")
    (folder / "~$lock.csv").write_text("x")
    (folder / "folder.csv").mkdir()
    (folder / "link.csv").symlink_to(outside)
    os.mkfifo(folder / "pipe.csv")
    listing = FolderStore(folder).list_objects("*.csv")
    assert [item.name for item in listing.objects] == ["good.csv"]
    assert {item.name for item in listing.skipped} == {"link.csv", "pipe.csv"}


@pytest.mark.parametrize("ending", [".part", ".tmp", ".crdownload", ".filepart", ".PARTIAL"])
def test_a_name_that_says_unfinished_is_left_and_reported(folder: Path, ending: str) -> None:
    (folder / f"a.csv{ending}").write_text("half")
    listing = FolderStore(folder).list_objects("*.csv")
    assert not listing.objects
    assert [item.name for item in listing.skipped] == [f"a.csv{ending}"]


def test_a_file_beside_its_unfinished_twin_waits_but_an_editors_backup_holds_nothing_up(folder: Path) -> None:
    """Browsers put an empty `a.csv` beside `a.csv.part`; editors leave `b.csv~` beside a finished `b.csv`."""
    for name in ("a.csv", "a.csv.part", "b.csv", "b.csv~"):
        (folder / name).write_text("")
    assert names(folder) == ["b.csv"]


def test_a_glob_reaches_into_folders_but_not_through_links_or_out(folder: Path, tmp_path: Path) -> None:
    (folder / "2026" / "11").mkdir(parents=True)
    (folder / "2026" / "11" / "a.csv").write_text("x")
    (folder / "top.csv").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.csv").write_text("x")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    assert names(folder, "2026/*/*.csv") == ["2026/11/a.csv"]
    assert names(folder, "**/*.csv") == ["2026/11/a.csv", "top.csv"]
    assert names(folder, "**") == ["2026/11/a.csv", "top.csv"]
    assert names(folder, "linked/*.csv") == []
    with pytest.raises(ConfigurationError, match="does not name files"):
        names(folder, "../*.csv")


@pytest.mark.parametrize("name", ["evil\u202evsc.csv", "line\nbreak.csv", "bad\udcff.csv", "bell\x07.csv"])
def test_a_name_that_would_fool_a_reader_is_refused_and_shown_in_the_open(folder: Path, name: str) -> None:
    (folder / name).write_text("x")
    listing = FolderStore(folder).list_objects("*.csv")
    assert not listing.objects
    (skipped,) = listing.skipped
    assert "\\u" in skipped.name
    assert skipped.name.isprintable()


@pytest.mark.parametrize(
    "name", ["*.csv", "a[1].csv", "%2e%2e%2fetc.csv", "'; drop table x;--.csv", "a b ü 日.csv"]
)
def test_the_local_path_holds_nothing_of_the_objects_name(folder: Path, work: Path, name: str) -> None:
    """A reader takes `[1]` or `*` in a path for a pattern; names are data and never become paths."""
    (folder / name).write_bytes(b"content")
    store = FolderStore(folder)
    with store.open(only(folder), work) as opened:
        assert opened.path.parent == work
        assert opened.path.stem.isalnum()
        assert opened.path.read_bytes() == opened.stream.read() == b"content"
        opened.check_unchanged()
    assert not list(work.iterdir())


def test_a_file_that_changed_since_the_listing_is_not_read(folder: Path, work: Path) -> None:
    (folder / "a.csv").write_text("one")
    item = only(folder)
    (folder / "a.csv").write_text("another")
    with pytest.raises(ObjectNotReadyError, match="changed since"), FolderStore(folder).open(item, work):
        pass


def test_equal_size_and_time_do_not_hide_a_change(folder: Path, work: Path) -> None:
    """Whoever sets the modification time back cannot set the change time back."""
    path = folder / "a.csv"
    path.write_text("one")
    item = only(folder)
    status = path.stat()
    path.write_text("two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ObjectNotReadyError), FolderStore(folder).open(item, work):
        pass


@pytest.mark.parametrize("swap", ["append", "replace", "remove", "link"])
def test_a_change_while_reading_is_noticed(folder: Path, work: Path, swap: str) -> None:
    path = folder / "a.csv"
    path.write_text("one")
    item = only(folder)
    with FolderStore(folder).open(item, work) as opened:
        opened.stream.read()
        if swap == "append":
            with path.open("a") as stream:
                stream.write("more")
        else:
            path.rename(folder / "old")
        if swap == "replace":
            path.write_text("one")
        if swap == "link":
            path.symlink_to(folder / "old")
        with pytest.raises(ObjectNotReadyError):
            opened.check_unchanged()


def test_a_link_put_in_the_place_of_a_listed_file_is_not_followed(folder: Path, work: Path) -> None:
    (folder / "a.csv").write_text("one")
    item = only(folder)
    (folder / "a.csv").rename(folder / "old")
    (folder / "a.csv").symlink_to(folder / "old")
    with pytest.raises(ObjectNotReadyError, match="cannot be opened"), FolderStore(folder).open(item, work):
        pass


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells who writes to a file")
def test_a_file_that_somebody_still_has_open_for_writing_waits(folder: Path, work: Path) -> None:
    path = folder / "a.csv"
    with path.open("w") as writer:
        writer.write("half")
        writer.flush()
        with (
            pytest.raises(ObjectNotReadyError, match="writing"),
            FolderStore(folder).open(only(folder), work),
        ):
            pass
    with FolderStore(folder).open(only(folder), work) as opened:
        assert opened.stream.read() == b"half"


def test_a_manifest_is_read_only_when_it_is_a_small_regular_file(folder: Path) -> None:
    (folder / "a.json").write_text("{}")
    (folder / "link.json").symlink_to(folder / "a.json")
    store = FolderStore(folder)
    assert store.read_companion("a.json", 10) == b"{}"
    assert store.read_companion("a.json", 1) is None
    assert store.read_companion("link.json", 10) is None
    assert store.read_companion("absent.json", 10) is None


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("gdrive://abc", "gdrive:// place"),
        ("ftp://host/x", "unknown scheme"),
        ("landing/x", "what kind of place"),
        ("s3://key:c0ffee@bucket/prefix", "holds credentials"),
        ("s3://bucket/x?X-Amz-Signature=c0ffee", "holds credentials"),
        ("s3://Bucket_/x", "no name of a bucket"),
        ("postgres://user:c0ffee@host/shop", "holds a password"),
        ("postgres://user@host/shop?password=c0ffee", "holds a password"),
        ("postgres://user@host/shop?options=-cx", "knows no 'options'"),
        ("postgres://user@host:port/shop", "no number"),
        ("postgres://user@host", "names no database"),
    ],
)
def test_a_place_that_cannot_be_read_is_a_clear_error(tmp_path: Path, location: str, said: str) -> None:
    """Before anything is asked of it, and without repeating a secret that should not stand there."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_location(location, Home(tmp_path))
    assert caught.value.remedy
    assert "c0ffee" not in str(caught.value)


def test_locations_are_taken_apart(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert read_location("file:///srv/drop", home) == FolderLocation(Path("/srv/drop"))
    assert read_location("s3://bucket", home) == BucketLocation("bucket", "")
    assert read_location("s3://bucket/a/b/", home) == BucketLocation("bucket", "a/b/")
    assert read_location("postgres://a%40b@host:5433/shop?sslmode=verify-full", home) == DatabaseLocation(
        {"host": "host", "port": "5433", "user": "a@b", "dbname": "shop", "sslmode": "verify-full"}
    )
    assert read_location("postgres:///?service=shop", home) == DatabaseLocation({"service": "shop"})


def test_relative_folders_are_below_the_home_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "landing" / "shop").mkdir(parents=True)
    (tmp_path / "landing" / "shop" / "a.csv").write_text("x")
    found = read_location("file://landing/shop", Home(tmp_path))
    assert isinstance(found, FolderLocation)
    store = FolderStore(found.folder)
    assert [item.name for item in store.list_objects("*").objects] == ["a.csv"]
    with pytest.raises(ConfigurationError, match="does not exist"):
        FolderStore(tmp_path / "absent").list_objects("*")
