"""How the sample company's systems write their files, and what goes wrong in them.

The feed file `examples/feeds/sample.yml` is the other half of this page: it reads what is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A broken row: cells that differ from a good row's, and the rule that it breaks first.

    `cut` is the number of cells taken off the end of the line, `surplus` cells put behind it.
    """

    rule: str
    cells: Mapping[str, str | None]
    cut: int = 0
    surplus: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """One kind of file.

    Attributes:
        feed: name of the feed, its folder and the first part of its file names.
        key: column that tells rows apart; a broken row gets a value of its own there.
        repeats: whether some rows stand twice in a file (never where a repetition is real).
        quoted: whether texts stand in quotes; elsewhere no text needs them.
        resent: whether a whole file may come again under another name.
    """

    feed: str
    key: str
    faults: tuple[Fault, ...] = ()
    repeats: bool = True
    delimiter: str = ","
    decimal_comma: tuple[str, ...] = ()
    quoted: bool = False
    gzipped: bool = False
    resent: bool = False


SOURCES: Mapping[str, Source] = {
    source.feed: source
    for source in (
        Source(
            "store_orders",
            key="order_number",
            faults=(
                Fault("not_a_number", {"grand_total": "12.5O"}),
                Fault("not_a_timestamp", {"placed_at": "2026-02-30 10:00:00"}),
                Fault("future_date", {"placed_at": "2062-10-17 09:30:00"}),
                Fault("unknown_currency", {"currency_code": "USX"}),
                Fault("not_finite", {"grand_total": "NaN"}),
                Fault("missing_value", {"order_number": "N/A"}),
                Fault("short_row", {}, cut=4),
            ),
            resent=True,
        ),
        Source(
            "store_order_items",
            key="line_number",
            faults=(
                Fault("out_of_range", {"quantity": "-2"}),
                Fault("not_a_number", {"unit_price": "free"}),
                Fault("missing_value", {"sku": None}),
                Fault("discount_exceeds_amount", {"line_discount": "98765432.10"}),
                Fault("too_many_decimals", {"unit_price": "9.123456"}),
                Fault("long_row", {}, surplus=("", "gift wrapped")),
            ),
        ),
        Source(
            "store_customers",
            key="customer_number",
            faults=(
                Fault("not_a_date", {"registered_on": "2026-02-31"}),
                Fault("missing_value", {"customer_number": "NULL"}),
                Fault("not_a_boolean", {"club_member": "maybe"}),
            ),
        ),
        Source(
            "store_payments",
            key="transaction_id",
            faults=(
                Fault("missing_value", {"result": "settled", "settled_at": None}),
                Fault("not_a_number", {"amount_cents": "19,99 USD"}),
                Fault("out_of_range", {"amount_cents": "-500"}),
                Fault("future_date", {"requested_at": "2062-10-17 09:30:00"}),
            ),
            quoted=True,
            resent=True,
        ),
        Source(
            "store_products",
            key="sku",
            faults=(Fault("not_a_number", {"list_price": "on request"}),),
            repeats=False,
            delimiter=";",
            decimal_comma=("list_price", "unit_cost"),
            quoted=True,
        ),
        Source(
            "store_returns",
            key="rma_number",
            faults=(
                Fault("out_of_range", {"quantity": "0"}),
                Fault("out_of_range", {"refund": "-5.00"}),
                Fault("not_a_timestamp", {"returned_at": "yesterday"}),
            ),
            quoted=True,
            resent=True,
        ),
        Source(
            "store_inventory",
            key="sku",
            faults=(
                Fault("not_a_number", {"on_hand": "many"}),
                Fault("not_a_date", {"count_date": "13/32/2026"}),
                Fault("missing_value", {"reorder_point": None}),
            ),
        ),
        Source("store_locations", key="location_id", repeats=False, quoted=True),
        Source(
            "restaurant_order_items",
            key="LINEITEM_ID",
            faults=(
                Fault("out_of_range", {"ITEM_PRICE": "-3.00"}),
                Fault("nonexistent_local_time", {"CREATION_TIME": "2026-03-08 02:30:00"}),
                Fault("not_a_boolean", {"IS_LOYALTY": "perhaps"}),
                Fault("not_a_number", {"ITEM_QUANTITY": "two"}),
                Fault("missing_value", {"ITEM_NAME": None}),
            ),
            quoted=True,
        ),
        Source(
            "restaurant_order_item_options",
            key="LINEITEM_ID",
            faults=(
                Fault("not_a_number", {"OPTION_PRICE": "n/a"}),
                Fault("out_of_range", {"OPTION_QUANTITY": "-1"}),
            ),
            repeats=False,
            quoted=True,
            gzipped=True,
        ),
        Source("restaurant_date_dim", key="DATE_KEY", repeats=False, quoted=True),
        Source("restaurant_locations", key="LOCATION_ID", repeats=False, quoted=True),
    )
}
