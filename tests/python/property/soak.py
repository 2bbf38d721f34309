"""The property over many sequences that were never drawn before: `make soak`, `make soak N=1000 SEED=7`."""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from .drawing import sequences
from .harness import open_property
from .sequences import Sequence

ROUND = 25  # examples of one seed: a long round draws variations of what it has drawn before


def main() -> int:
    """Draw, run, compare, and say how far it is. A failure is shrunk, kept as a file, and ends the soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=None, help="[default: a new one]")
    parser.add_argument("--keep", type=Path, default=Path("counterexample.json"), help="where a failure goes")
    words = parser.parse_args()
    first = words.seed if words.seed is not None else random.SystemRandom().randrange(1_000_000)
    say(f"seed {first}: {words.examples} sequences; recording the builds first")
    shared = open_property()
    started, done, last = time.monotonic(), 0, Sequence()
    models = shared.script.models

    def check(sequence: Sequence) -> None:
        nonlocal done, last
        last = sequence
        shared.check(sequence)
        done += 1
        if done % 10 == 0:
            each = (time.monotonic() - started) / done
            say(f"{done} of {words.examples} equal a rebuild, {each:.1f} s each")

    try:
        for number, start in enumerate(range(0, words.examples, ROUND)):
            bounds = settings(
                max_examples=min(ROUND, words.examples - start),
                deadline=None,
                database=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            )
            seed(first + number)(bounds(given(sequences(models))(check)))()
    except Exception as error:
        words.keep.write_text(last.as_json(), encoding="utf-8")
        say(f"{last.as_json()}\n{error}\n\nreplay it: python -m tests.python.property.replay {words.keep}")
        return 1
    finally:
        shared.close()
    say(f"all {done} sequences equal a rebuild, {(time.monotonic() - started) / max(done, 1):.1f} s each")
    return 0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
