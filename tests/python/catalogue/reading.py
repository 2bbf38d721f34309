"""All cases that are decided by reading files."""

from __future__ import annotations

from . import container, structure, values
from .cases import Case

READING: tuple[Case, ...] = (*container.CASES, *structure.CASES, *values.CASES)
