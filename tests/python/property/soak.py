"""The property over many sequences that were never drawn before: `make soak`, `make soak N=1000 SEED=7`."""

from __future__ import annotations

import argparse
import pickle
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.python.postgres_server import PostgresServer

from .drawing import sequences
from .harness import Property, Recording, open_property_on, record
from .sequences import Sequence

ROUND = 25  # examples of one seed: a longer round draws variations of what it has drawn before


def main() -> int:
    """Draw, run, compare, and say how far it is. A failure is shrunk, kept as a file, and ends its process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=300, help="over all processes [default: 300]")
    parser.add_argument("--processes", type=int, default=2, help="[default: 2]")
    parser.add_argument("--seed", type=int, default=None, help="[default: a new one]")
    parser.add_argument("--keep", type=Path, default=Path(), help="folder that counterexamples go to")
    parser.add_argument("--target", choices=("duckdb", "postgres"), default="duckdb")
    words = parser.parse_args()
    first = words.seed if words.seed is not None else random.SystemRandom().randrange(1_000_000)
    say(
        f"seed {first}: {words.examples} sequences in {words.processes} processes; first the project is parsed"
    )
    rounds = [
        (first + number, min(ROUND, words.examples - start))
        for number, start in enumerate(range(0, words.examples, ROUND))
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recording.pickle"
        if words.target == "duckdb":
            file.write_bytes(pickle.dumps(record(Path(folder))))
        with ProcessPoolExecutor(words.processes, mp_context=get_context("spawn")) as pool:
            shares = [rounds[number :: words.processes] for number in range(words.processes)]
            found = list(pool.map(soak, shares, [file] * len(shares), [words.keep] * len(shares)))
    if all(found):
        say(f"all {words.examples} sequences equal a rebuild")
    return 0 if all(found) else 1


def soak(rounds: list[tuple[int, int]], recording: Path, keep: Path) -> bool:
    """Whether every sequence of these rounds (seed, examples) equals a rebuild."""
    with _opened(recording) as shared:
        return _soak(shared, rounds, keep)


@contextmanager
def _opened(recording: Path) -> Iterator[Property]:
    if recording.exists():
        made: Recording = pickle.loads(recording.read_bytes())  # noqa: S301  (written by this program)
        with closing(made.open()) as shared:
            yield shared
        return
    server = PostgresServer.start()
    try:
        with open_property_on(server) as shared:
            yield shared
    finally:
        server.stop()


def _soak(shared: Property, rounds: list[tuple[int, int]], keep: Path) -> bool:
    started, done, last = time.monotonic(), 0, Sequence()
    wanted = sum(examples for _, examples in rounds)

    def check(sequence: Sequence) -> None:
        nonlocal done, last
        last = sequence
        shared.check(sequence)
        done += 1
        if done % 10 == 0:
            say(f"{done} of {wanted} equal a rebuild, {(time.monotonic() - started) / done:.1f} s each")

    number = 0
    try:
        for number, examples in rounds:
            bounds = settings(
                max_examples=examples,
                deadline=None,
                database=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            )
            seed(number)(bounds(given(sequences(shared.script.models))(check)))()
    except Exception as error:
        file = keep / f"counterexample_{number}.json"
        file.write_text(last.as_json(), encoding="utf-8")
        say(f"{last.as_json()}\n{type(error).__name__}: {error}")
        say(f"replay it: python -m tests.python.property.replay {file}")
        return False
    return True


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
