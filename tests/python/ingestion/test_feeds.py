"""Feed files: what they say, and how mistakes in them are explained."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestion.contract import load_contracts
from ingestion.currencies import ISO_4217
from ingestion.date_formats import compile_format
from ingestion.feed import SETTINGS, feeds_path, load_feeds
from ingestion.rules import NOTES, RULES
from settings.errors import ConfigurationError, DataRejectedError, ExitCode
from settings.home import PROJECT_ROOT, Home

EXAMPLES = PROJECT_ROOT / "examples" / "feeds"

GOOD = """
company: bakery
defaults:
  business_timezone: Europe/Berlin
  currency: EUR
feeds:
  - name: bakery_orders
    location: file://landing/bakery
    glob: "*.csv"
    naive_timezone: Europe/Berlin
    delivery_time: {pattern: "_([0-9]{8})", format: "%Y%m%d"}
    quarantine_threshold: {share: 0.05, rows: 20}
    required: true
    entities:
      - entity: store.orders
        columns:
          id: Bestellnummer
          Status: {column: state, map: {yes: paid, 007: created}, ignore_case: true}
          total_amount: {column: total, unit: cents}
        exclude: {state: [TEST, no], id: "0"}
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").ensure()


def write(home: Home, text: str, name: str = "bakery.yml") -> Path:
    path = home.feeds / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_feed_file_is_read_with_its_defaults(home: Home) -> None:
    (feed,) = load_feeds(write(home, GOOD), home)
    assert (feed.company, feed.name, feed.currency) == ("bakery", "bakery_orders", "EUR")
    assert feed.location == f"file://{home.root}/landing/bakery"
    assert feed.local_folder() == home.root / "landing/bakery"
    assert (feed.quarantine_threshold.share, feed.quarantine_threshold.rows, feed.required) == (
        0.05,
        20,
        True,
    )
    entity = feed.entities[0]
    assert entity.mapping("id").column == "Bestellnummer"
    assert entity.mapping("created_at").column is None
    assert entity.exclude == {"state": ("TEST", "no"), "id": ("0",)}


def test_words_stay_as_they_are_written(home: Home) -> None:
    """`yes` is no switch, `007` no number: both are words of somebody's files."""
    (feed,) = load_feeds(write(home, GOOD), home)
    assert dict(feed.entities[0].mapping("status").map) == {"yes": "paid", "007": "created"}


def test_a_folder_is_read_in_order_of_names(home: Home) -> None:
    write(home, GOOD.replace("bakery_orders", "second"), "b.yaml")
    write(home, GOOD.replace("bakery_orders", "first"), "a.yml")
    write(home, "not a feed", "notes.txt")
    assert [feed.name for feed in load_feeds(home.feeds, home)] == ["first", "second"]
    assert load_feeds(home.bronze, home) == []


def test_where_feeds_are_read_from(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert feeds_path(home) == home.feeds
    monkeypatch.setenv("TILLHOUSE_FEEDS", "/elsewhere/feeds")
    assert feeds_path(home) == Path("/elsewhere/feeds")
    assert feeds_path(home, Path("named.yml")) == Path("named.yml")


def test_locations(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DROP", "/srv/drop")
    places = {
        "file:///abs/x": "file:///abs/x",
        "file://${DROP}/in": "file:///srv/drop/in",
        "s3://bucket/prefix": "s3://bucket/prefix",
    }
    for written, expected in places.items():
        (feed,) = load_feeds(write(home, GOOD.replace("file://landing/bakery", written)), home)
        assert feed.location == expected
        assert (feed.local_folder() is None) == written.startswith("s3")


@pytest.mark.parametrize(
    ("before", "after", "place", "hint"),
    [
        ("glob:", "globb:", "feeds[bakery_orders].globb", "'glob'"),
        ("currency: EUR", "currencyy: EUR", "defaults.currencyy", "'currency'"),
        ("company: bakery", "companny: bakery", "companny", "'company'"),
        ("store.orders", "store.order", "entities[store.order] there is no entity", "'store.orders'"),
        ("          id: B", "          idd: B", "columns.idd store.orders has no column", "'id'"),
        ("unit: cents", "unit: cent", "columns.total_amount.unit 'cent' is none of", "'cents'"),
        ("unit: cents", "units: cents", "columns.total_amount.units", "'unit'"),
        ("column: total, unit", "compose: [a, b], constant: x, unit", "more than one source", ""),
        ("Europe/Berlin\n    deliv", "Europe/Berlim\n    deliv", "naive_timezone there is no", "'Europe/Berlin'"),
        ("currency: EUR", "currency: EUX", "currency 'EUX' is no ISO 4217", ""),
        ("yes: paid", "yes: payed", "'payed' is no word of status", "'paid'"),
        ("required: true", "required: perhaps", "required", ""),
        ("share: 0.05", "share: 1.5", "quarantine_threshold.share", ""),
        ("share: 0.05", "shares: 0.05", "quarantine_threshold.shares", "'share'"),
        ("_([0-9]{8})", "_[0-9]{8}", "delivery_time.pattern", "needs a group"),
        ("_([0-9]{8})", "_([0-9]{8}", "delivery_time.pattern", "no regular expression"),
        ("file://landing/bakery", "landing/bakery", "location 'landing/bakery' needs a scheme", ""),
        ("file://landing/bakery", "fil://landing", "location no store for fil://", "'file'"),
        ("file://landing/bakery", "file://", "names no folder", ""),
        ("file://landing/bakery", "file://${NOT_SET_ANYWHERE}", "NOT_SET_ANYWHERE is not set", ""),
        ("name: bakery_orders", "name: Bakery Orders", "feeds[Bakery Orders].name", ""),
        ("- name: bakery_orders", "- nam: x", "feeds[0].nam is no key here", "'name'"),
        ("    required: true", "    required: true\n    required: false", "given twice", ""),
        ("id: Bestellnummer", "id: {row_number: true, unit: cents}", "`cents` goes with amounts", ""),
        ("id: Bestellnummer", "created_at: {row_number: true}", "makes ids", ""),
        ("id: Bestellnummer", "id: {sum_over_key: [a]}", "sum_over_key goes with amounts", ""),
        ("id: Bestellnummer", 'id: {constant: ""}', "is empty, but id is required", ""),
        ("id: Bestellnummer", "id: {round: true}", "goes with amounts; id is a text", ""),
        ("id: Bestellnummer", "id: {product: [a, b]}", "goes with amounts; id is a text", ""),
        ("id: Bestellnummer", "created_at: {number_within: [id]}", "makes ids", ""),
        ("id: Bestellnummer", "id: {number_within: [customerid]}", "is no id of store.orders", "'customer_id'"),
        ("id: Bestellnummer", "id: {number_within: [id]}", "needs rows with the same id", ""),
        ("id: Bestellnummer", "id: Nr\n          tax_amount: {product: [a], sum_over_key: [a]}", "more than one", ""),
        ("id: Bestellnummer", "id: {row_number: true}\n          tax_amount: {sum_over_key: [a]}",
         "needs rows with the same id; here each has its own", ""),
        ("id: Bestellnummer", 'created_at: {timestamp_format: "days_since 1899-13-30"}', "the number 0", ""),
        ("id: Bestellnummer", "id: Bestellnummer\n          ID: Nr", "columns.ID is given twice", ""),
        ("id: Bestellnummer", 'created_at: {timestamp_format: "%d/%m"}', "needs a year, a month and a day", ""),
        ("id: Bestellnummer", 'created_at: {timestamp_format: "%Y-%m-%d %Q"}', "'%Q'", ""),
        ('glob: "*.csv"', "format: cvs", "format 'cvs' is none of", "'csv'"),
        ('glob: "*.csv"', 'delimiter: ""', "a delimiter is 1 to 4 characters", ""),
        ('glob: "*.csv"', 'quote: "ab"', "quote is one character", ""),
        ('glob: "*.csv"', "header: false", "`header: false` needs the columns' names", ""),
        ('glob: "*.csv"', "column_names: [a]", "goes with `header: false`", ""),
        ('glob: "*.csv"', "format: jsonl\n    column_names: [a]", "name their own columns", ""),
        ('glob: "*.csv"', "header: false\n    column_names: [a, A]", "listed twice", ""),
        ('glob: "*.csv"', "thousands_mark: .", "must differ from decimal_mark", ""),
        (
            'glob: "*.csv"',
            "header: false\n    column_names: [Bestelnummer, total, state, created_at]",
            "columns.id `column_names` has no column 'Bestellnummer'",
            "'Bestelnummer'",
        ),
        ("      - entity: store.orders", "      - entity: store.locations\n      - entity: store.locations\n"
         "      - entity: store.orders", "store.locations is listed twice", ""),
        ("        exclude: {", "        exclude: [", "", ""),
    ],
)  # fmt: skip
def test_mistakes_name_file_feed_key_and_the_nearest_right_word(
    home: Home, before: str, after: str, place: str, hint: str
) -> None:
    assert before in GOOD
    with pytest.raises(ConfigurationError) as caught:
        load_feeds(write(home, GOOD.replace(before, after, 1)), home)
    text = str(caught.value)
    assert "bakery.yml" in text
    assert place in text
    assert hint in text
    assert caught.value.exit_code == ExitCode.CONFIGURATION


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be `key: value` pairs"),
        ("company: x\nfeeds: []", "at least one feed"),
        ("company: x\nfeeds: [1]", "feeds[0] must be"),
        ("feeds: []", "company is missing"),
        ("company: [x\n", "line"),
        ("company: x\nfeeds:\n- {name: a, location: 'file://x'}", "entities is missing"),
        ("company: x\nfeeds:\n- {name: a, location: 'file://x', entities: 5}", "must be a list"),
        ("company: \xff", ""),
    ],
)
def test_files_that_are_no_feed_files(home: Home, text: str, message: str) -> None:
    path = home.feeds / "odd.yml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"odd\.yml") as caught:
        load_feeds(path, home)
    assert message in str(caught.value)


def test_a_missing_file_and_a_name_used_twice(home: Home) -> None:
    with pytest.raises(ConfigurationError, match="no feed file or folder"):
        load_feeds(home.feeds / "absent.yml", home)
    write(home, GOOD, "a.yml")
    write(home, GOOD, "b.yml")
    with pytest.raises(ConfigurationError, match=r"b\.yml: feed bakery_orders is also in a\.yml"):
        load_feeds(home.feeds, home)


def test_settings_of_a_contract_are_set_on_the_feed(home: Home) -> None:
    text = GOOD.replace("store.orders", "restaurant.order_items").replace("Status:", "item_price_basis:")
    text = text.replace("          total_amount: {column: total, unit: cents}\n", "").replace(', id: "0"', "")
    with pytest.raises(ConfigurationError, match="setting `item_price`"):
        load_feeds(write(home, text.replace("id: Best", "order_id: Best")), home)


def test_a_catalogue_is_never_replaced(home: Home) -> None:
    text = """
company: x
feeds:
  - {name: a, location: "file://x", same_name: replace, entities: [{entity: store.products}]}
"""
    with pytest.raises(ConfigurationError, match="products keep every delivery"):
        load_feeds(write(home, text), home)


@pytest.mark.parametrize(
    ("layout", "name", "expected"),
    [
        ("%Y%m%d", "orders_20260329.csv", datetime(2026, 3, 29, 22, tzinfo=UTC)),
        ("%Y%m%d", "orders_20260328.csv", datetime(2026, 3, 28, 23, tzinfo=UTC)),
        ("%Y%m%d%H%M", "orders_202603281530.csv", datetime(2026, 3, 28, 14, 30, tzinfo=UTC)),
    ],
)
def test_the_delivery_time_is_local_and_a_bare_day_ends_at_midnight(
    home: Home, layout: str, name: str, expected: datetime
) -> None:
    width = "12" if "%H" in layout else "8"
    text = GOOD.replace("{8}", "{" + width + "}").replace('"%Y%m%d"', f'"{layout}"')
    (feed,) = load_feeds(write(home, text), home)
    assert feed.delivered_at(name) == expected
    for wrong in ("orders.csv", "orders_20269999" + "0000.csv"):
        with pytest.raises(DataRejectedError, match="delivery time"):
            feed.delivered_at(wrong)


def test_without_a_pattern_no_delivery_time_is_claimed(home: Home) -> None:
    text = "\n".join(line for line in GOOD.splitlines() if "delivery_time" not in line)
    (feed,) = load_feeds(write(home, text), home)
    assert feed.delivered_at("orders_20260329.csv") is None


def test_every_example_is_a_valid_feed_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in sorted((PROJECT_ROOT / "examples" / "feeds").glob("*.yml")):
        assert load_feeds(path, home), path.name


@pytest.mark.parametrize(
    "layout", ["%m-%d", "%Y-%m", "%Y-%m-%d %I", "%Y-%m-%d %H %p %I", "%Y %Y-%m-%d", "%Y-%m-%d %M", "%"]
)
def test_formats_that_say_too_little_or_too_much(layout: str) -> None:
    with pytest.raises(ValueError, match="format"):
        compile_format(layout)


def test_currency_codes_are_three_capitals() -> None:
    assert {"USD", "EUR", "JPY", "DEM", "SLE"} <= ISO_4217
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in ISO_4217)
    assert not {"XXX", "XTS", "XAU", "BTC"} & ISO_4217


GUIDE = (PROJECT_ROOT / "docs" / "guides" / "feed-files.md").read_text(encoding="utf-8")


def test_the_guides_feed_file_works(home: Home) -> None:
    text = GUIDE.partition("```yaml\n")[2].partition("```")[0]
    (feed,) = load_feeds(write(home, text), home)
    assert [entity.entity for entity in feed.entities] == ["store.orders", "store.order_items"]


def test_the_guide_names_every_setting_rule_and_note() -> None:
    documented = {
        word
        for line in GUIDE.splitlines()
        if line.startswith("| `")
        for word in line.split("|")[1].split("`")[1::2]
    }
    assert set(SETTINGS) <= documented
    for name, sentence in [*RULES.items(), *NOTES.items()]:
        assert f"| `{name}` | {sentence} |" in GUIDE


def test_a_company_may_lack_a_total_a_sign_up_date_and_the_time_of_payments(home: Home) -> None:
    """Said so, it is no mistake; of any other required column it is."""
    for contract in load_contracts().values():
        for column in contract.columns:
            text = f"""
company: x
feeds:
  - name: a
    location: file://x
    entities: [{{entity: {contract.entity}, columns: {{{column.name}: {{constant: ""}}}}}}]
"""
            if column.source == "feed_setting":
                continue
            if column.required and (contract.entity, column.name) not in {
                ("store.orders", "total_amount"),
                ("store.customers", "signup_date"),
            }:
                with pytest.raises(ConfigurationError, match="is empty, but"):
                    load_feeds(write(home, text), home)
            else:
                assert load_feeds(write(home, text), home)


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yml")), ids=lambda path: path.stem)
def test_the_examples_are_feed_files(home: Home, example: Path) -> None:
    assert load_feeds(example, home)
