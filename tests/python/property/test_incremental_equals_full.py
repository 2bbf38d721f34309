"""After any sequence of deliveries and broken runs the marts are those of a rebuild from bronze.

`EXCEPT ALL` both ways over every mart, as it stands in the warehouse and as it is published; no tolerance, no column
left out. An example costs one to two seconds of a core for each run, of which it has up to four, and the rebuild.
So `make test` draws 5 sequences, the same each time, beside the kept ones: enough to meet a rule that breaks nearly
always. `make test-engines` draws 20, which meet one that breaks often, such as a forgotten key. `make soak` draws
hundreds that were never drawn before; whatever it finds becomes a file in `regressions/`, which this module replays by
name.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

from .drawing import sequences
from .harness import IncrementalDiffersError, Property, RecordedBuilder
from .sequences import Action, Fault, Run, Sequence

REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.json"))


@pytest.mark.parametrize("file", REGRESSIONS, ids=lambda file: file.stem)
def test_a_kept_sequence_equals_a_rebuild(shared: Property, file: Path) -> None:
    shared.check(Sequence.read(file))


@pytest.mark.no_cover  # what these run is measured by others
@pytest.mark.parametrize("examples", [5, pytest.param(20, marks=pytest.mark.minutes)])
def test_drawn_sequences_equal_a_rebuild(shared: Property, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(sequences(shared.script.models))
    @example(Sequence(start="nothing", runs=(Run(),)))
    def check(sequence: Sequence) -> None:
        try:
            shared.check(sequence)
        except IncrementalDiffersError as error:
            error.add_note(f"Keep this as a file in regressions/:\n{sequence.as_json()}")
            raise

    check()


EVERYTHING = Sequence(
    published="parts",
    runs=(
        Run(
            (
                Action("deliver", "orders_20260402.csv", ({"id": "o1", "customer_id": "ben", "status": "cancelled"},)),
                Action("deliver", "products_20260402.csv", ({"effective_at": "2026-03-01 12:00:00", "price": "30"},)),
                Action("deliver", "options_20260402.csv", ({"order_id": "o1", "option_price": "0"},)),
            ),
            fault=Fault("model", 9, "fct_orders"),
        ),
        Run((Action("withdraw", "returns_20260401.csv"),), full_refresh=("fct_payments",)),
        Run((Action("deliver", "returns_20260403.csv", ({"id": "r2", "order_id": "o2", "refund_amount": "8.25"},)),)),
    ),
)  # fmt: skip


@pytest.mark.minutes
def test_recorded_statements_do_what_dbt_does(shared: Property) -> None:
    """The same sequence by dbt itself: late and corrected rows, a model that fails, one that is built anew."""
    shared.check(EVERYTHING)
    shared.check(EVERYTHING, shared.dbt)


@pytest.mark.minutes
def test_a_model_that_takes_changes_without_work_is_found(shared: Property) -> None:
    """The property fails where a model advances its watermarks and computes nothing."""
    script = shared.script
    name = "fct_order_items"
    broken = [
        replace(node, standing=[_touching_nothing(sql) for sql in node.standing])
        if node.name == name
        else node
        for node in script.nodes
    ]
    sequence = Sequence(runs=(Run((Action("deliver", "lines_20260402.csv", ({"quantity": "3"},)),)),))
    shared.check(sequence)
    with pytest.raises(IncrementalDiffersError, match=r"marts\.fct_order_items"):
        shared.check(sequence, RecordedBuilder(replace(script, nodes=broken)))


def _touching_nothing(sql: str) -> str:
    return re.sub(
        r"(create temporary table touched__\w+ as)(.*);",
        r"\1 select * from (\2\n) as collected where false;",
        sql,
        flags=re.DOTALL,
    )


def test_a_sequence_survives_its_json() -> None:
    assert Sequence.from_json(EVERYTHING.as_json()) == EVERYTHING
