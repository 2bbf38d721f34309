"""The page about bad inputs says what the tests hold, names tests that are there, and leaves no case out."""

from __future__ import annotations

import pytest

from .elsewhere import ELSEWHERE, NOT_YET
from .page import COMMAND, LAST_NUMBER, PAGE, PROJECT_ROOT, page, references
from .reading import READING


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), f"run `{COMMAND}`"


@pytest.mark.parametrize("reference", sorted(set(references())))
def test_every_test_that_the_page_names_is_there(reference: str) -> None:
    path, _, name = reference.partition("::")
    text = (PROJECT_ROOT / path).read_text(encoding="utf-8")
    assert (f"def {name}(" if path.endswith(".py") and name else name) in text


def test_every_case_of_the_catalogue_is_held_or_said_to_be_missing() -> None:
    held = {case.number for case in READING} | {covered.number for covered in ELSEWHERE}
    assert held.isdisjoint(NOT_YET)
    assert sorted(held | set(NOT_YET)) == list(range(1, LAST_NUMBER + 1))
