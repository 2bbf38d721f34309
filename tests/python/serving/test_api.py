"""The metrics API: the numbers of the published marts, to whom may see them, and problems that say what to do."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from api_server import NOW, OWN_LOCATIONS, Api, serving
from conftest import SampleRun

from serving.access.keys import KeyStore
from serving.access.policy import AccessPolicy, Kind, load_policy
from serving.api.application import ApiSettings
from serving.semantic import Grain
from settings.errors import ConfigurationError

POLICY = load_policy()


@pytest.fixture(scope="module")
def api(sample_run: SampleRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serving(sample_run.published, tmp_path_factory.mktemp("api")) as running:
        yield running


def test_health_and_readiness_need_no_key_and_tell_nothing_else(api: Api) -> None:
    assert api.client.get("/health").json() == {"status": "ok"}
    ready = api.client.get("/ready")
    assert (ready.status_code, set(ready.json())) == (200, {"status", "published_at"})


def test_without_a_publication_nothing_is_ready(sample_run: SampleRun, tmp_path: Any) -> None:
    with serving(sample_run.published, tmp_path) as running:
        running.home.published.unlink()
        ready = running.client.get("/ready")
        assert ready.status_code == 503
        assert ready.headers["content-type"] == "application/problem+json"
        assert "tillhouse run" in ready.json()["remedy"]
        assert running.client.get("/health").status_code == 200
        asked = running.get("/metrics/daily")
        assert asked.status_code == 404
        assert asked.json()["rule"] == "nothing_published"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic dGVzdA==",
        "Bearer tillhouse_000000000000_" + "A" * 43,
        "Bearer ü",
    ],
)
def test_a_call_without_a_key_of_ours_is_refused(api: Api, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode("utf-8")}
    for path in (
        "/metrics",
        "/metrics/daily",
        "/ltv/30",
        "/inventory/alerts",
        "/locations/ranking",
        "/customers/1",
    ):
        found = api.client.get(path, headers=headers)
        assert found.status_code == 401
        assert found.headers["www-authenticate"] == "Bearer"
        assert found.json()["rule"] == "key"
    assert api.client.post("/query", json={"metrics": ["orders"]}, headers=headers).status_code == 401


def test_a_key_that_was_revoked_or_expired_is_refused_from_the_next_call_on(
    sample_run: SampleRun, tmp_path: Any
) -> None:
    with serving(sample_run.published, tmp_path) as running:
        assert running.get("/metrics").status_code == 200
        store = KeyStore(running.home.api_keys)
        for key in store.list():
            store.revoke(key.key_id, NOW)
        assert running.get("/metrics").json()["detail"] == "the key is revoked"
    with serving(sample_run.published, tmp_path / "later", now=NOW + timedelta(days=1)) as running:
        assert running.get("/metrics").json()["detail"] == "the key is expired"


def test_days_are_those_of_the_mart(api: Api) -> None:
    found = api.get("/metrics/daily", limit=10_000).json()
    expected = api.sql(
        "select revenue_date, sum(gross_revenue), sum(discounts), sum(net_sales), sum(refunds), sum(net_revenue),"
        " sum(orders), sum(units), cast(sum(net_sales) as double) / nullif(cast(sum(orders) as double), 0)"
        " from marts.fct_revenue_daily group by revenue_date order by revenue_date desc"
    )
    assert found["next_offset"] is None
    assert [
        (
            day["day"], *(Decimal(day[name]) for name in ("gross_revenue", "discounts", "net_sales", "refunds")),
            Decimal(day["net_revenue"]), day["orders"], Decimal(day["units_sold"]), day["average_order_value"],
        )
        for day in found["days"]
    ] == [(row[0].isoformat(), *row[1:]) for row in expected]  # fmt: skip


def test_days_can_be_narrowed_and_paged(api: Api) -> None:
    everything = api.get("/metrics/daily", limit=10_000).json()["days"]
    first, last = everything[20]["day"], everything[10]["day"]
    narrowed = api.get("/metrics/daily", first_day=first, last_day=last).json()
    assert narrowed["days"] == everything[10:21]
    pages, offset = [], 0
    while offset is not None:
        page = api.get("/metrics/daily", first_day=first, last_day=last, limit=4, offset=offset).json()
        pages.append(page["days"])
        offset = page["next_offset"]
    assert [len(page) for page in pages] == [4, 4, 3]
    assert [day for page in pages for day in page] == narrowed["days"]
    store = api.get("/metrics/daily", first_day=first, last_day=last, system="store").json()["days"]
    ((expected,),) = api.sql(
        "select sum(net_revenue) from marts.fct_revenue_daily"
        " where source_system = 'store' and revenue_date between ? and ?",
        [first, last],
    )
    assert sum(Decimal(day["net_revenue"]) for day in store) == expected


@pytest.mark.parametrize("days", [7, 30, 90])
def test_cohorts_are_those_of_the_mart_without_the_small_ones(api: Api, days: int) -> None:
    found = api.get(f"/ltv/{days}").json()
    expected = api.sql(
        "select source_system, cohort_month, mature_customers, retention_rate, ltv_total, ltv_per_customer"
        " from marts.fct_cohort_ltv where horizon_days = ? order by 1, 2",
        [days],
    )
    shown = [row for row in expected if row[2] >= POLICY.smallest_group]
    assert shown
    assert [
        (
            one["source_system"], one["cohort_month"], one["mature_customers"], one["retention_rate"],
            Decimal(one["ltv_total"]), one["ltv_per_customer"],
        )
        for one in found["cohorts"]
    ] == [(row[0], row[1].isoformat(), *row[2:]) for row in shown]  # fmt: skip
    assert found["suppressed_rows"] == len(expected) - len(shown)


def test_other_horizons_do_not_exist(api: Api) -> None:
    assert api.get("/ltv/31").status_code == 422


def test_alerts_are_those_of_the_mart(api: Api) -> None:
    found = api.get("/inventory/alerts").json()["alerts"]
    expected = dict(api.sql("select product_id, suggested_order_quantity from marts.mart_inventory_alerts"))
    assert len(expected) >= 5
    assert {one["product_id"]: Decimal(one["suggested_order_quantity"]) for one in found} == expected
    assert [one["is_stockout"] for one in found] == sorted(
        (one["is_stockout"] for one in found), reverse=True
    )
    stockouts = api.get("/inventory/alerts", is_stockout=True).json()["alerts"]
    assert stockouts == [one for one in found if one["is_stockout"]]


def test_locations_are_ranked_as_the_mart_ranks_them(api: Api) -> None:
    found = api.get("/locations/ranking", system="restaurant").json()["locations"]
    expected = api.sql(
        "select location_id, revenue_rank, total_revenue, revenue_share from marts.mart_location_performance"
        " where source_system = 'restaurant' order by revenue_rank, location_key"
    )
    assert [
        (one["location_id"], one["revenue_rank"], Decimal(one["total_revenue"]), one["revenue_share"])
        for one in found
    ] == expected


def test_a_customer_is_found_by_the_shops_own_id(api: Api) -> None:
    ((customer_id, value, tier, segment, status),) = api.sql(
        "select customer_id, lifetime_value_to_date, clv_tier, segment, activity_status from marts.dim_customer"
        " join marts.mart_customer_lifetime_value using (customer_key)"
        " join marts.mart_customer_segments using (customer_key)"
        " join marts.mart_churn_indicators using (customer_key)"
        " where dim_customer.source_system = 'store' order by customer_key limit 1"
    )
    found = api.get(f"/customers/{customer_id}", "service_shop", system="store").json()
    assert (Decimal(found["lifetime_value_to_date"]), found["clv_tier"]) == (value, tier)
    assert (found["segment"], found["activity_status"]) == (segment, status)
    unknown = api.get("/customers/no-such", "service_shop")
    assert (unknown.status_code, unknown.json()["rule"]) == (404, "customer")
    # The audit line tells of the call and not of whom it was about.
    line = json.loads(
        next(line for line in api.audit.splitlines() if "/customers/" in line and "service_shop" in line)
    )
    assert (line["route"], line["role"], line["status"]) == (
        "/customers/{customer_id:path}",
        "service_shop",
        200,
    )
    assert customer_id not in [str(value) for value in line.values()]


def test_a_query_has_columns_rows_and_what_they_are_made_of(api: Api) -> None:
    found = api.query(
        metrics=["net_revenue", "orders"], group_by=["system"], grain="month", order_by=[{"column": "month"}]
    )
    assert found.status_code == 200, found.text
    body = found.json()
    assert [column["name"] for column in body["columns"]] == ["month", "system", "net_revenue", "orders"]
    expected = api.sql(
        "select cast(date_trunc('month', revenue_date) as date), source_system, sum(net_revenue), sum(orders)"
        " from marts.fct_revenue_daily group by 1, 2 order by 1, 2"
    )
    assert [(row[0], row[1], Decimal(row[2]), row[3]) for row in body["rows"]] == [
        (row[0].isoformat(), *row[1:]) for row in expected
    ]
    ((run_id,),) = api.sql("select run_id from publication.current")
    assert body["freshness"]["run_id"] == found.headers["tillhouse-run"] == run_id
    as_of = dict(api.sql("select source_system, cast(as_of_date as varchar) from marts.dim_source_system"))
    assert body["freshness"]["as_of_dates"] == as_of
    assert found.headers["tillhouse-as-of"] == ", ".join(f"{k}={v}" for k, v in sorted(as_of.items()))
    ((newest,),) = api.sql(
        "select batch_id from quality.quality_deliveries where loaded_at is not null"
        " order by loaded_at desc, load_sequence desc, batch_id limit 1"
    )
    assert body["freshness"]["newest_batch"] == found.headers["tillhouse-batch"] == newest


def test_an_unchanged_answer_is_not_sent_again(api: Api) -> None:
    first = api.get("/metrics/daily", limit=3)
    headers = api.headers("analyst") | {"If-None-Match": f'"other", W/{first.headers["etag"]}'}
    again = api.client.get("/metrics/daily", params={"limit": 3}, headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    # Another question, and another role's sight of the same one, are other answers.
    assert api.client.get("/metrics/daily", params={"limit": 4}, headers=headers).status_code == 200
    headers["Authorization"] = api.headers("finance")["Authorization"]
    assert api.client.get("/metrics/daily", params={"limit": 3}, headers=headers).status_code == 200


def test_a_new_publication_is_taken_up_and_no_call_fails(sample_run: SampleRun, tmp_path: Any) -> None:
    with serving(sample_run.published, tmp_path) as running:
        ended, statuses, runs = threading.Event(), [], set()

        def ask() -> None:
            while not ended.is_set():
                found = running.query(metrics=["orders"], grain="month")
                statuses.append(found.status_code)
                runs.add(found.headers.get("tillhouse-run"))

        callers = [threading.Thread(target=ask) for _ in range(4)]
        for caller in callers:
            caller.start()
        former = running.get("/metrics/daily")
        for number in range(5):
            new = tmp_path / "next.duckdb"
            shutil.copyfile(sample_run.published, new)
            with duckdb.connect(str(new)) as connection:
                connection.execute("update publication.current set run_id = ?", [f"run {number}"])
            new.replace(running.home.published)
            while running.get("/metrics/daily").headers["tillhouse-run"] != f"run {number}":
                pass
        ended.set()
        for caller in callers:
            caller.join()
        assert set(statuses) == {200}
        assert len(runs) > 1
        assert running.get("/metrics/daily").headers["etag"] != former.headers["etag"]


def test_a_key_may_not_ask_too_often_and_others_still_may(sample_run: SampleRun, tmp_path: Any) -> None:
    with serving(sample_run.published, tmp_path, settings=ApiSettings(requests_per_minute=3)) as running:
        statuses = [running.get("/metrics").status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        refused = running.get("/metrics")
        assert refused.json()["rule"] == "rate_limit"
        assert 1 <= int(refused.headers["retry-after"]) <= 120
        assert running.get("/metrics", "finance").status_code == 200


def test_a_query_that_takes_too_long_is_ended(sample_run: SampleRun, tmp_path: Any) -> None:
    slow = ApiSettings(requests_per_minute=100, timeout_seconds=1e-6)
    with serving(sample_run.published, tmp_path, settings=slow) as running:
        found = running.query(
            metrics=["orders", "net_revenue"], group_by=["category", "location"], grain="day"
        )
        assert found.status_code == 503
        assert found.json()["rule"] == "timeout"


# ------------------------------------------------------------------ who may see what


def test_the_policy_names_what_there_is_and_leaves_nothing_to_nobody(api: Api) -> None:
    """A name that is misspelt, or that was forgotten when it was new, would be denied in silence."""
    catalogue = api.app.state.services.figures.catalogue()
    for kind, known in (
        (Kind.METRICS, set(catalogue.public_metrics)),
        (Kind.DIMENSIONS, set(catalogue.dimensions) | set(Grain)),
    ):
        POLICY.require_known(kind, known)
        assert known == set().union(*(role.allowed(kind) for role in POLICY.roles.values()))
    assert POLICY.customer_dimensions <= set(catalogue.dimensions)
    assert POLICY.customer_metrics <= set(catalogue.public_metrics)
    # Told by traits of customers, these would be refused: who paid is not counted.
    assert {name for name, info in catalogue.public_metrics.items() if not info.customers} >= {
        "payments_processed"
    }


@pytest.mark.parametrize("role", sorted(POLICY.roles))
def test_the_catalogue_of_a_role_is_what_it_may_ask(api: Api, role: str) -> None:
    listed = {one["name"]: one for one in api.get("/metrics", role).json()["metrics"]}
    catalogue = api.app.state.services.figures.catalogue()
    policy = POLICY.roles[role]
    for name, info in catalogue.public_metrics.items():
        parts = {name} | (info.inputs & set(catalogue.public_metrics))
        assert (name in listed) == (parts <= policy.metrics), name
    for one in listed.values():
        assert set(one["dimensions"]) <= policy.dimensions


@pytest.mark.parametrize("role", sorted(POLICY.roles))
def test_each_role_may_ask_its_metrics_and_no_other(api: Api, role: str) -> None:
    catalogue = api.app.state.services.figures.catalogue()
    client = api.app.state.services.figures.client
    policy = POLICY.roles[role]
    for name, info in catalogue.public_metrics.items():
        parts = {name} | (info.inputs & set(catalogue.public_metrics))
        grain = info.grains[0] if info.needs_grain else None
        by = list(info.required_dimensions[:1])
        sliced_by_location = "location_key" in client.dimensions_of(name)
        allowed = (
            parts <= policy.metrics
            and set(by) <= policy.dimensions
            and (grain is None or grain in policy.dimensions)
            and (sliced_by_location or policy.rows.value == "all")
        )
        found = api.query(role, metrics=[name], group_by=by, grain=grain, limit=1)
        assert found.status_code == (200 if allowed else 403), (name, found.text)


@pytest.mark.minutes
@pytest.mark.parametrize("role", sorted(POLICY.roles))
def test_each_role_may_group_and_filter_by_its_dimensions_and_no_other(api: Api, role: str) -> None:
    catalogue = api.app.state.services.figures.catalogue()
    client = api.app.state.services.figures.client
    policy = POLICY.roles[role]
    metric_of = {
        dimension: metric for metric in catalogue.public_metrics for dimension in client.dimensions_of(metric)
    }
    for dimension in catalogue.dimensions:
        # A metric that the role may see, where there is one with this dimension.
        metrics = [
            name
            for name in sorted(policy.metrics & set(catalogue.public_metrics))
            if dimension in client.dimensions_of(name)
            and not catalogue.metrics[name].needs_grain
            and not catalogue.metrics[name].required_dimensions
            and (policy.rows.value == "all" or "location_key" in client.dimensions_of(name))
            and catalogue.metrics[name].inputs & set(catalogue.public_metrics) <= policy.metrics
        ]
        metric = metrics[0] if metrics else metric_of.get(dimension)
        if metric is None:
            continue
        allowed = bool(metrics) and dimension in policy.dimensions
        grouped = api.query(role, metrics=[metric], group_by=[dimension], limit=1)
        filtered = api.query(
            role, metrics=[metric], filters=[{"dimension": dimension, "operator": "is not null"}], limit=1
        )
        expected = 200 if allowed else 403
        assert (grouped.status_code, filtered.status_code) == (expected, expected), (dimension, grouped.text)


@pytest.mark.parametrize("role", sorted(POLICY.roles))
def test_each_role_reads_the_marts_of_its_paths_and_no_other(api: Api, role: str) -> None:
    marts_of = {
        "/ltv/30": {"fct_cohort_ltv"},
        "/inventory/alerts": {"mart_inventory_alerts"},
        "/locations/ranking": {"mart_location_performance"},
        "/customers/1": {"mart_customer_lifetime_value", "mart_customer_segments", "mart_churn_indicators"},
    }
    for path, marts in marts_of.items():
        allowed = marts <= POLICY.roles[role].marts
        found = api.get(path, role)
        assert found.status_code in ({200, 404, 409} if allowed else {403}), path


def test_what_is_made_of_something_forbidden_is_forbidden(sample_run: SampleRun, tmp_path: Any) -> None:
    finance = POLICY.roles["finance"]
    narrow = type(finance)(
        "narrow", "", finance.metrics - {"refunds"}, finance.dimensions, finance.marts, finance.rows
    )
    policy = AccessPolicy(5, POLICY.customer_dimensions, {"narrow": narrow})
    with serving(sample_run.published, tmp_path, policy=policy) as running:
        assert running.query("narrow", metrics=["net_sales"]).status_code == 200
        refused = running.query("narrow", metrics=["net_revenue"])
        assert refused.status_code == 403
        assert "refunds" in refused.json()["detail"]
        # Sorting by what may not be seen tells its order.
        refused = running.query("narrow", metrics=["net_sales"], order_by=[{"column": "refunds"}])
        assert refused.status_code == 403


def test_a_location_manager_sees_the_own_locations_alone(api: Api) -> None:
    found = api.query("location_manager", metrics=["net_sales", "orders"], group_by=["system", "location"])
    assert found.status_code == 200, found.text
    rows = found.json()["rows"]
    assert {f"{row[0]}:{row[1]}" for row in rows} == set(OWN_LOCATIONS)
    expected = api.sql(
        "select source_system, location_id, sum(net_sales), sum(orders) from marts.fct_revenue_daily"
        " join marts.dim_location using (location_key, source_system)"
        " where source_system = 'restaurant' and location_id in ('00101', '00108') group by 1, 2 order by 1, 2"
    )
    assert [(row[0], row[1], Decimal(row[2]), row[3]) for row in rows] == expected
    # Without naming the location, and with a filter on another one.
    total = api.query("location_manager", metrics=["net_sales"]).json()["rows"]
    assert Decimal(total[0][0]) == sum(row[2] for row in expected)
    others = api.query(
        "location_manager", metrics=["net_sales"], group_by=["location"],
        filters=[{"dimension": "location", "operator": "not in", "values": ["00101", "00108"]}],
    )  # fmt: skip
    assert others.json()["rows"] == []
    daily = api.get("/metrics/daily", "location_manager", limit=10_000).json()["days"]
    assert sum(Decimal(day["net_sales"]) for day in daily) == sum(row[2] for row in expected)


def test_small_groups_of_customers_are_left_out(sample_run: SampleRun, tmp_path: Any) -> None:
    segments = (
        "select segment, count(*) from marts.mart_customer_segments where source_system = 'store' group by 1"
    )
    with serving(sample_run.published, tmp_path) as running:
        counts = dict(running.sql(segments))
    smallest, next_smallest = sorted(counts, key=lambda name: counts[name])[:2]
    assert counts[smallest] < counts[next_smallest]
    policy = AccessPolicy(counts[smallest] + 1, POLICY.customer_dimensions, POLICY.roles)
    question: dict[str, Any] = {
        "metrics": ["customers_by_segment"], "group_by": ["segment"],
        "filters": [{"dimension": "system", "operator": "=", "values": ["store"]}],
    }  # fmt: skip
    with serving(sample_run.published, tmp_path / "strict", policy=policy) as running:
        found = running.query(**question).json()
        # One small group alone could be told from the total: the next smallest goes with it.
        assert found["suppressed_rows"] == 2
        assert {row[0] for row in found["rows"]} == set(counts) - {smallest, next_smallest}
        filtered = question | {
            "group_by": [],
            "filters": [
                *question["filters"],
                {"dimension": "segment", "operator": "=", "values": [smallest]},
            ],
        }
        assert running.query(**filtered).json()["rows"] == []
        ordinary = running.query(metrics=["orders"], group_by=["location"]).json()
        assert ordinary["suppressed_rows"] == 0
    exact = AccessPolicy(counts[smallest], POLICY.customer_dimensions, POLICY.roles)
    with serving(sample_run.published, tmp_path / "exact", policy=exact) as running:
        assert running.query(**question).json()["suppressed_rows"] == 0


# ------------------------------------------------------------------ wrong and hostile words

INJECTIONS = (
    "'", "''", '"', "1=1) or (1=1", "'; drop table marts.fct_orders; --", "x' or '1'='1", "{{ env_var('HOME') }}",
    "{% for x in y %}", "$1", "%s", "%(1)s", "\\", "`", "<script>alert(1)</script>", "\u0000", "😀", "a" * 500,
    "tillhouse value 0", "'tillhouse value 0'", "/* */", "-- ", "00101' union select 1 --", "../../etc/passwd",
    "\ud7ff",
)  # fmt: skip


def test_no_callers_text_reaches_sql(api: Api) -> None:
    before = api.sql("select count(*), sum(net_revenue) from marts.fct_revenue_daily")
    ordinary = api.query(metrics=["orders"]).json()["rows"]
    for text in INJECTIONS:
        equal = api.query(
            metrics=["orders"], filters=[{"dimension": "location", "operator": "=", "values": [text]}]
        )
        assert equal.status_code in {200, 422}, (text, equal.text)
        if equal.status_code == 200:
            assert [row[0] or 0 for row in equal.json()["rows"]] in ([0], [])
            different = api.query(
                metrics=["orders"], group_by=["location"],
                filters=[{"dimension": "location", "operator": "not in", "values": [text, "00101"]}],
            )  # fmt: skip
            assert different.status_code == 200
            assert "00101" not in {row[0] for row in different.json()["rows"]}
        for body in (
            {"metrics": [text]},
            {"metrics": ["orders"], "group_by": [text]},
            {"metrics": ["orders"], "order_by": [{"column": text}]},
            {"metrics": ["orders"], "grain": text},
            {"metrics": ["orders"], "filters": [{"dimension": text, "operator": "=", "values": ["x"]}]},
            {
                "metrics": ["orders"],
                "filters": [{"dimension": "location", "operator": text, "values": ["x"]}],
            },
        ):
            assert api.query(**body).status_code in {403, 422}, (text, body)
        for path, name in (
            ("/metrics/daily", "location"), ("/inventory/alerts", "category"), ("/locations/ranking", "region"),
        ):  # fmt: skip
            found = api.get(path, **{name: text})
            assert found.status_code in {200, 422}, (text, found.text)
        assert (
            api.client.get(
                "/customers/x", params={"system": text}, headers=api.headers("analyst")
            ).status_code
            == 422
        )
    assert api.sql("select count(*), sum(net_revenue) from marts.fct_revenue_daily") == before
    assert api.query(metrics=["orders"]).json()["rows"] == ordinary


def test_a_wrong_request_says_what_is_wrong_with_it(api: Api) -> None:
    found = api.query(metrics=[], limit=0, unknown=1)
    assert found.status_code == 422
    assert found.headers["content-type"] == "application/problem+json"
    problem = found.json()
    assert {error["where"] for error in problem["errors"]} == {"body.metrics", "body.limit", "body.unknown"}
    for path in ("/", "/no/such", "/docs"):
        found = api.client.get(path)
        assert (found.status_code, found.json()["title"]) == (404, "Not Found")
    assert api.client.delete("/metrics").status_code == 405


def test_settings_are_whole_numbers_above_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ApiSettings.from_environment() == ApiSettings(600, 30)
    monkeypatch.setenv("TILLHOUSE_API_TIMEOUT_SECONDS", "5")
    assert ApiSettings.from_environment().timeout_seconds == 5
    for wrong in ("0", "-1", "soon", "1.5"):
        monkeypatch.setenv("TILLHOUSE_API_REQUESTS_PER_MINUTE", wrong)
        with pytest.raises(ConfigurationError, match="TILLHOUSE_API_REQUESTS_PER_MINUTE"):
            ApiSettings.from_environment()
