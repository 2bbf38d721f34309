"""Runs one kept sequence: `python -m tests.python.property.replay <file.json>`, with `--dbt` by dbt itself."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .harness import IncrementalDiffersError, open_property
from .sequences import Sequence


def main() -> int:
    """Say whether what the sequence leaves equals a rebuild; 1 when it does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--dbt", action="store_true", help="build by dbt, not by its recorded statements")
    words = parser.parse_args()
    status = 0
    with open_property() as shared:
        for file in words.files:
            try:
                shared.check(Sequence.read(file), shared.dbt if words.dbt else None)
                sys.stdout.write(f"{file}: equals a rebuild\n")
            except IncrementalDiffersError as error:
                status = 1
                sys.stdout.write(f"{file}: differs from a rebuild\n{error}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
