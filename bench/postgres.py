"""The steps on Postgres, on a server of their own that ends with them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.figures import median_by_name
from bench.measure import DAY_MODULE, Measurement, Told, measure_step
from bench.plans import BenchPlan
from settings.home import Home
from tests.python.postgres_server import PostgresServer

# For the models, the hand-written SQL and both ways of loading alike.
SERVER_SETTINGS = {
    "shared_buffers": "1GB",
    "work_mem": "256MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "8GB",
}
LOADED_ENTITY = "store.order_items"


def measure_on_postgres(folder: Path, plan: BenchPlan, *, tell: Told) -> dict[str, Any]:
    """Load a history, build it with dbt and by hand (the two compare equal), publish it, and run the days after it.

    The load of one feed is measured before, beside plain ingestion of the same rows, in another database.
    """
    home, described, target = Home(folder / "home"), asdict(plan), {"target": "postgres"}
    server = PostgresServer.start(SERVER_SETTINGS)
    try:
        loading, database = (server.create_database().environment for _ in range(2))
        steps = [tell(measure_step("generate", home.root, plan=described, first=0, last=0))]
        steps.append(tell(measure_step("ingest", home.root, database, **target)))
        load = tell(measure_step("postgres_load", home.root, loading, entity=LOADED_ENTITY))
        build = tell(measure_step("build_models", home.root, database, **target))
        hand = tell(measure_step("handwritten_postgres", home.root, database))
        tell(measure_step("compare_postgres", home.root, database))
        publish = tell(measure_step("publish", home.root, database, **target))
        days: list[Measurement] = []
        for delivery in range(1, plan.deliveries + 1):
            measure_step("generate", home.root, plan=described, first=delivery, last=delivery)
            days.append(
                tell(
                    measure_step("day", home.root, database, module=DAY_MODULE, all_checks=not days, **target)
                )
            )
    finally:
        server.stop()
    return {
        "plan": described,
        "steps": [step.as_dict() for step in (*steps, load, build, hand, publish)],
        "build_nodes": build.facts["nodes"],
        "by_hand": hand.facts["marts"],
        "first_day": days[0].as_dict(),
        "days": [day.as_dict() for day in days[1:]],
        "day_nodes": median_by_name([day.facts["nodes"] for day in days[1:]]),
        "day_stages": median_by_name([day.facts["stages"] for day in days[1:]]),
    }
