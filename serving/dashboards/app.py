"""The dashboards in the browser: `tillhouse dashboards` starts it, and Streamlit runs it anew at every turn."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from serving.access.answers import Answer, Answers, Viewer
from serving.access.keys import KeyStore
from serving.access.policy import load_policy
from serving.dashboards.boards import Boards, CardAnswer, Choices, Sight
from serving.dashboards.charts import draw
from serving.dashboards.definitions import AUTO, GRID_COLUMNS, Card, Chart, Dashboard, FilterName
from serving.dashboards.figures import (
    Column,
    columns_of,
    columns_of_rows,
    difference,
    plain,
    told,
    written,
)
from serving.dashboards.questions import grain_of
from serving.dashboards.selection import (
    ALL_TIME,
    CUSTOM,
    PRESETS,
    Selection,
    read_address,
    read_period,
)
from serving.dashboards.sign_in import Doorkeeper, require_safe
from serving.semantic import SemanticClient
from serving.semantic.formats import csv_text
from settings.errors import (
    AccessError,
    BusyError,
    NotFoundError,
    TillhouseError,
    UnavailableError,
    UsageError,
)
from settings.home import Home

logger = logging.getLogger(__name__)

ICON = Path(__file__).with_name("icon.svg")
QUERY_SECONDS = 30
SHOWN_ROWS = 1_000
MARKDOWN = re.compile(r"[\\`*_{}\[\]()<>#+!|~$:-]")
KEY, CHOSEN, WRITTEN, PROBLEMS = "key", "chosen", "written address", "address problems"
NOT_APPLIED_WHY = {
    FilterName.PERIOD: "it tells the state at the as-of date, or whole cohorts",
    FilterName.SYSTEM: "it is not told by system",
    FilterName.LOCATION: "it is not told by location",
    FilterName.CATEGORY: "it is not told by category",
    FilterName.CHANNEL: "it is not told by channel",
}
ICONS = {
    "home": "home", "revenue": "payments", "customer_lifetime_value": "loyalty", "segments": "groups",
    "churn": "person_off", "cohorts": "grid_on", "sales": "trending_up", "loyalty": "card_membership",
    "locations": "storefront", "discounts": "sell", "payments": "credit_card", "inventory_alerts": "inventory_2",
    "data_quality": "fact_check",
}  # fmt: skip


class _Page:
    """One turn of a session: who looks, and what was chosen."""

    def __init__(
        self, boards: Boards, viewer: Viewer, sight: Sight, choices: Choices, selection: Selection
    ) -> None:
        self.boards = boards
        self.viewer = viewer
        self.sight = sight
        self.choices = choices
        self.selection = selection
        self.filters = selection.filters(choices)

    def show(self, dashboard: Dashboard) -> None:
        """The whole page of a dashboard."""
        st.title(dashboard.title, anchor=False)
        st.markdown(f"**{dashboard.question}** {dashboard.description}")
        self._origin(dashboard)
        for problem in st.session_state.get(PROBLEMS, []):
            st.warning(f"The address of this page: {_plain(problem)}.", icon=":material/link_off:")
        shown = self.sight.shown(dashboard)
        if not shown:
            st.info(
                f"Your role {self.viewer.role.name} may see nothing of this page.", icon=":material/lock:"
            )
        for row in _grid(shown):
            widths = [card.width for card in row]
            rest = GRID_COLUMNS - sum(widths)
            for card, place in zip(row, st.columns([*widths, *([rest] if rest else [])]), strict=False):
                with (
                    place,
                    st.container(border=True, height="stretch", key=f"card-{dashboard.name}-{card.name}"),
                ):
                    _told(partial(self._card, dashboard, card))
        hidden = [card for card in dashboard.cards if card not in shown]
        if hidden and shown:
            with st.expander(f"{len(hidden)} more for other roles", icon=":material/lock:"):
                for card in hidden:
                    st.markdown(f"**{card.title}**: {self.sight.hidden(dashboard, card)}.")

    def _origin(self, dashboard: Dashboard) -> None:
        origin = self.boards.answers.origin()
        days = ", ".join(f"{system} {day}" for system, day in sorted(origin.as_of_dates.items()))
        period = self.filters.period
        chosen = f"{period.start} to {period.end}" if period else "all time"
        if period and any(card.compare for card in dashboard.cards):
            chosen += f", compared with {period.previous.start} to {period.previous.end}"
        without = [name for name in FilterName if self.filters.is_set(name) and name not in dashboard.filters]
        st.caption(
            f"Period: {chosen} · last day with orders: {days or 'none'} ·"
            f" published {origin.published_at:%Y-%m-%d %H:%M} UTC, after every error-level test passed ·"
            f" money in the reporting currency · owner: {dashboard.owner} · maturity: {dashboard.maturity}"
        )
        if without:
            st.caption(
                f":material/filter_alt_off: not applied on this page: {', '.join(without)};"
                " it tells what is true at the last day"
            )

    def _card(self, dashboard: Dashboard, card: Card) -> None:
        found = self.boards.card(self.viewer, dashboard, card, self.filters)
        columns = self._columns(card, found.answer)
        if card.chart is Chart.NUMBER:
            self._number(card, found, columns[0])
        else:
            st.markdown(f"##### {card.title}")
            if not found.answer.rows:
                _nothing(found.answer, card.empty)
            elif card.chart is Chart.TABLE:
                _table(found.answer, columns, height=40 * card.height)
            else:
                self._chart(card, found.answer, columns)
        if found.answer.suppressed_rows:
            st.caption(
                f"{found.answer.suppressed_rows} groups are left out:"
                f" fewer than {self.boards.answers.policy.smallest_group} customers share them."
            )
        if found.answer.is_cut and card.limit is None:
            st.caption(f"Only the first {len(found.answer.rows):,} rows are here: choose more filters.")
        # What the whole page does not take is said once, above.
        own = [name for name in found.question.not_applied if name in dashboard.filters]
        if own:
            st.caption(f":material/filter_alt_off: not applied: {', '.join(own)}")
        self._beside(dashboard, card, found, columns)

    def _columns(self, card: Card, answer: Answer) -> tuple[Column, ...]:
        mart = self.boards.answers.marts()[card.mart] if card.mart else None
        return columns_of(card, answer.columns, self.boards.answers.client.catalogue(), mart)

    def _number(self, card: Card, found: CardAnswer, column: Column) -> None:
        value = found.answer.rows[0][0] if found.answer.rows else None
        before = found.previous.rows[0][0] if found.previous and found.previous.rows else None
        moved = difference(value, before, column.format)
        # Whether more is better is not for a colour to say, and red and green look alike to many.
        st.metric(card.title, written(value, column.format), moved, delta_color="off")
        if self.filters.period and found.previous is not None:
            st.caption(f"from {written(before, column.format)}")
        if value is None:
            st.caption("There is nothing to divide by under these filters.")

    def _chart(self, card: Card, answer: Answer, columns: Sequence[Column]) -> None:
        period = self.filters.period if FilterName.PERIOD not in card.not_applied else None
        pictures = draw(
            card,
            answer,
            columns,
            grain=grain_of(card, self.filters.period),
            period=period if card.grain == AUTO else None,
            last_day=self.choices.last_day,
        )
        for picture, place in zip(pictures, st.columns(len(pictures)), strict=True):
            with place:
                if picture.title:
                    st.markdown(f"**{picture.title}**")
                words = f"{card.title}{': ' if picture.title else ''}{picture.title}. {card.text}"
                st.altair_chart(picture.chart, theme=None, width="stretch", alt=words)

    def _beside(self, dashboard: Dashboard, card: Card, found: CardAnswer, columns: Sequence[Column]) -> None:
        name = f"{dashboard.name}-{card.name}"
        with st.container(horizontal=True, gap="small"):
            with st.popover("About", type="tertiary", icon=":material/info:", key=f"about-{name}"):
                self._about(card, found)
            has_rows = not self.boards.hidden_rows(self.viewer, card)
            if has_rows and st.button(
                "Rows", type="tertiary", icon=":material/table_rows:", key=f"rows-{name}"
            ):
                self._rows_behind(dashboard, card)
            if card.chart is not Chart.NUMBER and found.answer.rows:
                st.download_button(
                    "CSV",
                    csv_text([column.name for column in columns], found.answer.rows),
                    f"{dashboard.name}_{card.name}.csv",
                    "text/csv",
                    type="tertiary",
                    icon=":material/download:",
                    key=f"csv-{name}",
                    on_click="ignore",
                )

    def _about(self, card: Card, found: CardAnswer) -> None:
        st.markdown(card.text)
        catalogue = self.boards.answers.client.catalogue()
        for name in card.metrics:
            metric = catalogue.metrics[name]
            st.markdown(
                f"**{metric.label}** `{name}`  \n{metric.description}  \n"
                f"definition: `{metric.expression}`  \n"
                f"from: {', '.join(f'`{table}`' for table in sorted(metric.tables))}  \n"
                f"owner: {metric.owner}"
            )
        if card.mart:
            st.markdown(f"Rows of the published mart `{card.mart}`.")
        for filter_name in found.question.not_applied:
            st.markdown(f"Not applied: **{filter_name}**; {NOT_APPLIED_WHY[filter_name]}.")
        origin = self.boards.answers.origin()
        st.caption(
            f"Run {origin.stamp.run_id}, published {origin.published_at:%Y-%m-%d %H:%M} UTC."
            " Tests: all of error level passed, else it would not be published."
        )
        why = self.boards.hidden_rows(self.viewer, card)
        if why:
            st.caption(f"Rows: {why}.")

    def _rows_behind(self, dashboard: Dashboard, card: Card) -> None:
        @st.dialog(f"Rows behind “{card.title}”", width="large", icon=":material/table_rows:")
        def _shown() -> None:
            _told(partial(self._rows_of, dashboard, card))

        _shown()

    def _rows_of(self, dashboard: Dashboard, card: Card) -> None:
        found = self.boards.rows(self.viewer, dashboard, card, self.filters, limit=SHOWN_ROWS)
        cut = f" The newest {SHOWN_ROWS:,} are shown." if found.answer.is_cut else ""
        st.markdown(f"`{card.drill}`, under the same filters: {len(found.answer.rows):,} rows.{cut}")
        if found.question.not_applied:
            st.caption(f"This mart cannot be narrowed by: {', '.join(found.question.not_applied)}.")
        if not found.answer.rows:
            _nothing(found.answer)
            return
        mart = self.boards.answers.marts()[str(card.drill)]
        _table(found.answer, columns_of_rows(mart), height=420)
        st.download_button(
            "CSV",
            csv_text(found.answer.columns, found.answer.rows),
            f"{card.drill}.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
        )


def main(arguments: Sequence[str]) -> None:
    """One turn of a session."""
    words = argparse.ArgumentParser()
    words.add_argument("--target", default="duckdb")
    # Without a role everybody is asked for a key.
    words.add_argument("--role")
    chosen = words.parse_args(arguments)
    st.set_page_config(page_title="tillhouse", page_icon=str(ICON), layout="wide")
    _told(partial(_turn, chosen.target, chosen.role))


def _turn(target: str, local_role: str | None) -> None:
    boards, door = _opened(str(Home.from_environment().root), target, local_role)
    # Also where somebody starts Streamlit by hand, which listens on every address unless told otherwise.
    require_safe(str(st.get_option("server.address") or ""), boards.answers.policy, local_role)
    viewer = _admitted(door)
    if viewer is None:
        return
    choices, sight = boards.choices(viewer), boards.sight(viewer)
    ready: list[_Page] = []  # what a page shows is known when it is known which page it is
    pages = [
        st.Page(
            _page_of(dashboard, ready),
            title=dashboard.title,
            url_path=dashboard.name,
            icon=f":material/{ICONS.get(dashboard.name, 'monitoring')}:",
            default=dashboard is boards.dashboards[0],
            # The address of a hidden page works and says why there is nothing on it.
            visibility="visible" if sight.shown(dashboard) else "hidden",
        )
        for dashboard in boards.dashboards
    ]
    current = st.navigation(pages, expanded=True)
    by_name = {dashboard.name: dashboard for dashboard in boards.dashboards}
    dashboard = by_name[current.url_path or boards.dashboards[0].name]
    selection = _chosen(choices, dashboard)
    _who(door, viewer, [one.title for one in boards.dashboards if not sight.shown(one)])
    ready.append(_Page(boards, viewer, sight, choices, selection))
    current.run()


def _page_of(dashboard: Dashboard, ready: Sequence[_Page]) -> Callable[[], None]:
    def show() -> None:
        ready[0].show(dashboard)

    return show


@st.cache_resource(show_spinner="Reading what is published …")
def _opened(home_root: str, target: str, local_role: str | None) -> tuple[Boards, Doorkeeper]:
    home = Home(Path(home_root))
    policy = load_policy()
    boards = Boards(Answers(SemanticClient.open(home, target), policy, QUERY_SECONDS))
    return boards, Doorkeeper(policy, KeyStore(home.api_keys), local_role)


def _admitted(door: Doorkeeper) -> Viewer | None:
    """The viewer of the session; the form to sign in where a key is missing or no longer valid."""
    shown = st.session_state.get(KEY, "")
    try:
        return door.admit(shown, datetime.now(UTC))
    except AccessError as error:
        st.session_state.pop(KEY, None)
        st.title("Sign in", anchor=False)
        st.markdown("These dashboards show what the role of your key may see.")
        if shown:
            st.error(f"{error.problem.capitalize()}.", icon=":material/key_off:")
        with st.form("sign in"):
            text = st.text_input("Key", type="password", help=error.remedy, autocomplete="current-password")
            if st.form_submit_button("Sign in"):
                st.session_state[KEY] = text or " "
                st.rerun()
        return None


def _who(door: Doorkeeper, viewer: Viewer, hidden: Sequence[str]) -> None:
    """Who looks, and the titles of the pages that the role may see nothing of."""
    with st.sidebar:
        st.caption(f"You see this as **{viewer.role.name}**. {viewer.role.description}")
        if hidden:
            st.caption(f"Not for this role: {', '.join(hidden)}.")
        if door.asks_for_keys and st.button("Sign out", icon=":material/logout:"):
            st.session_state.pop(KEY, None)
            st.rerun()


def _chosen(choices: Choices, dashboard: Dashboard) -> Selection:
    """The filters in the sidebar, kept in the address on every page."""
    state = st.session_state
    address = {str(name): st.query_params.get_all(name) for name in FilterName if name in st.query_params}
    if CHOSEN not in state or (address and address != state.get(WRITTEN)):
        reading = read_address(address, choices)
        state[CHOSEN], state[PROBLEMS] = reading.selection, reading.problems
        for name, values in (
            ("systems", reading.selection.systems),
            ("locations", reading.selection.locations),
            ("categories", reading.selection.categories),
            ("channels", reading.selection.channels),
        ):
            state[f"filter {name}"] = list(values)
        is_preset = reading.selection.period in {*PRESETS, ALL_TIME}
        state["filter period"] = reading.selection.period if is_preset else CUSTOM
        period = read_period(reading.selection.period, choices.last_day)
        if period is not None:
            state["filter days"] = (period.start, period.end)
    with st.sidebar:
        st.subheader("Filters", anchor=False)
        selection = Selection(
            period=_period(choices, FilterName.PERIOD in dashboard.filters),
            systems=_many("System", "systems", choices.systems, FilterName.SYSTEM in dashboard.filters),
            locations=_many(
                "Location",
                "locations",
                [place.name for place in choices.locations],
                FilterName.LOCATION in dashboard.filters,
                {place.name: place.label for place in choices.locations},
            ),
            categories=_many(
                "Category", "categories", choices.categories, FilterName.CATEGORY in dashboard.filters
            ),
            channels=_many(
                "Sales channel", "channels", choices.channels, FilterName.CHANNEL in dashboard.filters
            ),
        )
    if selection != state[CHOSEN]:
        state[PROBLEMS] = []
    state[CHOSEN] = selection
    state[WRITTEN] = selection.parameters()
    if address != state[WRITTEN]:
        st.query_params.from_dict(state[WRITTEN])
    return selection


def _period(choices: Choices, has_effect: bool) -> str:
    names = {**PRESETS, ALL_TIME: "All time", CUSTOM: "Chosen days"}
    chosen = st.selectbox(
        "Period",
        list(names),
        format_func=lambda name: names[name],
        key="filter period",
        help=None if has_effect else "Without effect on this page.",
    )
    if chosen != CUSTOM:
        return str(chosen)
    last = choices.last_day or date(2000, 1, 1)
    st.session_state.setdefault("filter days", (last, last))
    days = st.date_input("Days", key="filter days", format="YYYY-MM-DD")
    if isinstance(days, tuple) and len(days) == 2:
        return f"{days[0]}..{days[1]}"
    st.caption("Choose the last day as well.")
    return str(st.session_state[CHOSEN].period)


def _many(
    label: str, name: str, options: Sequence[str], has_effect: bool, labels: dict[str, str] | None = None
) -> tuple[str, ...]:
    key = f"filter {name}"
    # A publication may have taken away what was chosen.
    st.session_state[key] = [one for one in st.session_state.get(key, []) if one in options]
    chosen = st.multiselect(
        label,
        list(options),
        format_func=lambda one: (labels or {}).get(one, one),
        key=key,
        placeholder="All",
        help=None if has_effect else "Without effect on this page.",
        disabled=not options,
    )
    return tuple(chosen)


def _grid(cards: Sequence[Card]) -> list[list[Card]]:
    """Cards in rows of at most 24 columns, in their order."""
    rows: list[list[Card]] = []
    for card in cards:
        if rows and sum(one.width for one in rows[-1]) + card.width <= GRID_COLUMNS:
            rows[-1].append(card)
        else:
            rows.append([card])
    return rows


def _table(answer: Answer, columns: Sequence[Column], *, height: int) -> None:
    shown = {
        column.name: [_cell(row[position], column) for row in answer.rows]
        for position, column in enumerate(columns)
    }
    st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        height=min(height, 36 * (len(answer.rows) + 1)),
        column_config={column.name: _column_config(column) for column in columns},
    )


def _cell(value: Any, column: Column) -> Any:
    if column.is_figure or value is None:
        return plain(value)
    return value if isinstance(value, date | datetime | bool) else told(value, column)


def _column_config(column: Column) -> Any:
    if column.format == "share":
        return st.column_config.NumberColumn(column.label, format="percent")
    if column.is_figure:
        form = {"hours": "%.1f", "days": "%.1f", "count": "localized", "quantity": "localized"}
        return st.column_config.NumberColumn(column.label, format=form.get(column.format, "accounting"))
    if column.format == "moment":
        return st.column_config.DatetimeColumn(column.label, format="YYYY-MM-DD HH:mm")
    if column.format in {"date", "period"}:
        return st.column_config.DateColumn(column.label, format="YYYY-MM-DD")
    if column.format == "boolean":
        return st.column_config.CheckboxColumn(column.label)
    return st.column_config.TextColumn(column.label)


def _nothing(answer: Answer, words: str | None = None) -> None:
    if answer.suppressed_rows:
        return
    if words:
        st.success(words, icon=":material/check:")
        return
    st.info(
        "Nothing is there under these filters. Choose a longer period or fewer filters.",
        icon=":material/search_off:",
    )


def _told(show: Callable[[], None]) -> None:
    """Show something, or say why it cannot be shown and what to do."""
    try:
        show()
    except NotFoundError as error:
        st.info(f"{_sentence(error.problem)} {_sentence(error.remedy)}", icon=":material/hourglass_empty:")
    except AccessError as error:
        st.info(f"{_sentence(error.problem)}", icon=":material/lock:")
    except (UnavailableError, BusyError) as error:
        reason = (
            "The answer took too long."
            if error.rule == "timeout"
            else "The warehouse cannot answer at present."
        )
        st.warning(f"{reason} {_sentence(error.remedy)}", icon=":material/schedule:")
        logger.warning("%s", error)
    except UsageError as error:
        st.warning(f"{_sentence(error.problem)} {_sentence(error.remedy)}", icon=":material/block:")
    except TillhouseError as error:
        # What is wrong with files and settings is no business of a reader's.
        logger.exception("%s", error.problem)
        st.error(
            "This cannot be shown at present. Whoever runs the dashboards finds the reason in their log."
        )


def _sentence(text: str) -> str:
    return _plain(f"{text[:1].upper()}{text[1:]}.") if text else ""


def _plain(text: str) -> str:
    """Words that may hold a reader's own, as they stand: Markdown in them could load a picture from elsewhere."""
    return MARKDOWN.sub(r"\\\g<0>", text)


if __name__ == "__main__":
    main(sys.argv[1:])
