"""A sequence of deliveries and runs, as JSON: what the property draws, prints, keeps and replays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Row = Mapping[str, str]
Start = Literal["nothing", "small_company"]
SameName = Literal["new_delivery", "replace"]
Published = Literal["tables", "parts"]
ActionKind = Literal["deliver", "withdraw", "accept", "reload"]
FaultKind = Literal["load", "loaded", "model", "killed", "publish"]


@dataclass(frozen=True)
class Action:
    """One thing that happens before a run's build.

    Attributes:
        do: what it is; `withdraw`, `accept` and `reload` are the commands of these names.
        file: the delivered file's name. Its first word names the feed, its date the time of delivery.
        rows: of a delivery, each a mapping from column to text.
    """

    do: ActionKind
    file: str
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Fault:
    """Where a run breaks off.

    Attributes:
        at: `load`: inside the transaction of a file; `loaded`: before the build; `model`: one model fails, and what
            depends on it is skipped; `killed`: the process ends inside a model; `publish`: before readers see the new
            marts, or (`after` 1) just after.
        after: how many files (of `load`) or statements (of `model` and `killed`) are done by then.
        model: the model's name.
    """

    at: FaultKind
    after: int = 0
    model: str = ""


@dataclass(frozen=True)
class Run:
    """What happens before and in one run. `full_refresh` names models that are built anew."""

    actions: tuple[Action, ...] = ()
    fault: Fault | None = None
    full_refresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sequence:
    """Runs over one home folder. After the last one, which never has a fault, the marts are compared.

    Attributes:
        start: what was delivered and built before.
        same_name: what a changed file of a known name is to the feeds that leave the choice.
        published: whether tables of this size are published in parts, as large ones are.
    """

    start: Start = "small_company"
    same_name: SameName = "replace"
    published: Published = "tables"
    runs: tuple[Run, ...] = ()
    note: str = field(default="", compare=False)

    def as_json(self) -> str:
        """Readable: one line for each delivered row."""
        document = {name: value for name, value in asdict(self).items() if value != ""}
        document["runs"] = [_run_document(run) for run in self.runs]
        text = json.dumps(document, indent=1)
        return _rows_on_one_line(text, self) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Sequence:
        """The sequence that `as_json` wrote."""
        document = json.loads(text)
        return cls(
            start=document["start"],
            same_name=document["same_name"],
            published=document.get("published", "tables"),
            note=document.get("note", ""),
            runs=tuple(
                Run(
                    actions=tuple(
                        Action(action["do"], action["file"], tuple(action.get("rows", ())))
                        for action in run.get("actions", ())
                    ),
                    fault=Fault(**run["fault"]) if run.get("fault") else None,
                    full_refresh=tuple(run.get("full_refresh", ())),
                )
                for run in document["runs"]
            ),
        )

    @classmethod
    def read(cls, path: Path) -> Sequence:
        return cls.from_json(path.read_text(encoding="utf-8"))


def _run_document(run: Run) -> dict[str, Any]:
    document: dict[str, Any] = {"actions": [_action_document(action) for action in run.actions]}
    if run.fault:
        document["fault"] = {
            name: value for name, value in asdict(run.fault).items() if value or name == "at"
        }
    if run.full_refresh:
        document["full_refresh"] = list(run.full_refresh)
    return document


def _action_document(action: Action) -> dict[str, Any]:
    document: dict[str, Any] = {"do": action.do, "file": action.file}
    if action.do == "deliver":
        document["rows"] = [dict(row) for row in action.rows]
    return document


def _rows_on_one_line(text: str, sequence: Sequence) -> str:
    for run in sequence.runs:
        for action in run.actions:
            for row in action.rows:
                spread = json.dumps(dict(row), indent=1).replace("\n", "\n" + " " * 6)
                text = text.replace(spread, json.dumps(dict(row)))
    return text
