"""Draws sequences. What is drawn first is the plainest, so that a counterexample shrinks to few and plain rows."""

from __future__ import annotations

from collections.abc import Sequence as Listed

from hypothesis import strategies as st

from .company import ALL_FEEDS, DELIVERIES, SMALL_COMPANY, VARIANTS, columns_of, feed_of
from .sequences import Action, Fault, Row, Run, Sequence

MOST_RUNS = 4
MOST_ACTIONS = 5
MOST_ROWS = 3
# Files of these bring most of what incremental models have to follow; the others are drawn less often.
FOLLOWING = ("again", "corrected", "corrected", "withdraw", "withdraw", "accept", "reload")
EVENT_FEEDS = ("orders", "lines", "payments", "returns", "counts", "meals", "options")


@st.composite
def sequences(draw: st.DrawFn, models: Listed[str]) -> Sequence:
    """A sequence of one to four runs.

    Args:
        models: names of the models in which a run may break off.
    """
    start = draw(st.sampled_from(("small_company", "small_company", "small_company", "nothing")))
    same_name = draw(st.sampled_from(("replace", "new_delivery")))
    delivered: list[Action] = list(SMALL_COMPANY) if start == "small_company" else []
    runs = []
    count = draw(st.integers(1, MOST_RUNS))
    for number in range(count):
        actions = []
        for _ in range(draw(st.integers(0, MOST_ACTIONS))):
            action = draw(_action(delivered))
            actions.append(action)
            if action.do == "deliver":
                delivered.append(action)
        is_last = number == count - 1
        runs.append(
            Run(
                actions=tuple(actions),
                fault=None if is_last else draw(_fault(models)),
                full_refresh=draw(_full_refresh(models)),
            )
        )
    published = draw(st.sampled_from(("tables", "parts")))
    return Sequence(start=start, same_name=same_name, published=published, runs=tuple(runs))


def _fault(models: Listed[str]) -> st.SearchStrategy[Fault | None]:
    somewhere = {"model": st.sampled_from(models), "after": st.integers(0, 12)}
    return st.one_of(
        st.none(),
        st.none(),
        st.none(),
        st.sampled_from(
            (Fault("loaded"), Fault("publish"), Fault("publish", 1), Fault("load"), Fault("load", 1))
        ),
        st.builds(Fault, st.just("model"), **somewhere),
        st.builds(Fault, st.just("killed"), **somewhere),
    )


def _full_refresh(models: Listed[str]) -> st.SearchStrategy[tuple[str, ...]]:
    rarely = st.lists(st.sampled_from(models), min_size=1, max_size=2, unique=True).map(tuple)
    return st.integers(0, 11).flatmap(lambda number: rarely if number == 11 else st.just(()))


@st.composite
def _action(draw: st.DrawFn, delivered: Listed[Action]) -> Action:
    kind = draw(st.sampled_from(("new",) * 8 + (FOLLOWING if delivered else ())))
    if kind == "new":
        feed = draw(
            st.one_of(st.sampled_from(EVENT_FEEDS), st.sampled_from(EVENT_FEEDS), st.sampled_from(ALL_FEEDS))
        )
        return Action("deliver", draw(_file(feed)), draw(_rows(feed)))
    former = draw(st.sampled_from(list(delivered)))
    feed = feed_of(former.file)
    if kind == "again":  # the same content under another name, or under its own
        return Action("deliver", draw(st.one_of(st.just(former.file), _file(feed))), former.rows)
    if kind == "corrected":  # rows that were delivered, said otherwise; under their own name or a new one
        rows = list(former.rows)
        for _ in range(draw(st.integers(1, 2))):
            if rows:
                place = draw(st.integers(0, len(rows) - 1))
                rows[place : place + 1] = draw(_correction(feed, rows[place]))
        other = VARIANTS.get(feed, (feed,))[0]
        beside = [name for name, (base, _) in VARIANTS.items() if base == other] if former.rows else []
        into = draw(st.sampled_from((feed, other, *beside)))
        file = draw(st.one_of(st.just(former.file) if into == feed else _file(into), _file(into)))
        return Action("deliver", file, tuple(rows))
    return Action(kind, former.file)


def _file(feed: str) -> st.SearchStrategy[str]:
    return st.builds(
        "{}_{}{}.csv".format, st.just(feed), st.sampled_from(DELIVERIES), st.sampled_from(("", "-b"))
    )


def _rows(feed: str) -> st.SearchStrategy[tuple[Row, ...]]:
    return st.lists(_row(feed), max_size=MOST_ROWS).map(tuple)


@st.composite
def _row(draw: st.DrawFn, feed: str) -> Row:
    """A row; the plain words are left out."""
    row = {}
    for name, words in columns_of(feed).items():
        word = draw(st.sampled_from(words))
        if word != words[0]:
            row[name] = word
    return row


@st.composite
def _correction(draw: st.DrawFn, feed: str, row: Row) -> list[Row]:
    """The row with one or two other words; or no row, which takes back what a file of the same name had said."""
    if not draw(st.integers(0, 3).map(bool)):
        return []
    changed = dict(row)
    for name in draw(st.lists(st.sampled_from(list(columns_of(feed))), min_size=1, max_size=2, unique=True)):
        changed[name] = draw(st.sampled_from(columns_of(feed)[name]))
    return [changed]
