"""`python -m tests.python.fuzz.soak --files 5000 [--seed N]`: mutated files, none of them lost without a word."""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from .drawing import draw_file
from .trial import run_seeds

FILES_OF_A_RUN = 100
SECONDS_OF_A_RUN = 600  # a run of a hundred small files takes some seconds: what takes so long hangs


def main() -> int:
    """Draw, deliver, judge. Each complaint comes with the words that show it again; the exit code is 1 then."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5_000, help="[default: 5000]")
    parser.add_argument("--processes", type=int, default=2, help="[default: 2]")
    parser.add_argument("--seed", type=int, default=None, help="of the first file [default: a new one]")
    parser.add_argument("--keep", type=Path, help="a folder that the drawn files go to")
    words = parser.parse_args()
    first = words.seed if words.seed is not None else random.SystemRandom().randrange(90_000_000)
    seeds = range(first, first + words.files)
    if words.keep:
        words.keep.mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            drawn = draw_file(seed)
            (words.keep / drawn.name).write_bytes(drawn.content)
    sys.stdout.write(f"files of the seeds {first} to {seeds[-1]}\n")
    started = time.monotonic()
    complaints = 0
    with ProcessPoolExecutor(words.processes, mp_context=get_context("spawn")) as pool:
        runs = {
            pool.submit(run_in_own_folder, seeds[place : place + FILES_OF_A_RUN]): seeds[place]
            for place in range(0, len(seeds), FILES_OF_A_RUN)
        }
        for done, run in enumerate(as_completed(runs, timeout=SECONDS_OF_A_RUN * len(runs)), start=1):
            for text in run.result():
                complaints += 1
                sys.stdout.write(f"{text}\n")
            spent = time.monotonic() - started
            sys.stdout.write(f"{done} of {len(runs)} runs, {complaints} complaints, {spent:.0f} s\n")
            sys.stdout.flush()
    return 1 if complaints else 0


def run_in_own_folder(seeds: range) -> list[str]:
    """One run in a folder that is gone afterwards; what breaks it off is a complaint too."""
    os.environ.setdefault("TILLHOUSE_TOKEN_KEY", "fuzzed")
    logging.disable(logging.WARNING)  # each refused file has a line of its own
    folder = Path(tempfile.mkdtemp(prefix="tillhouse-fuzz-"))
    try:
        return [str(complaint) for complaint in run_seeds(seeds, folder / "home")]
    except Exception as error:  # a crash is what is looked for, whatever its kind
        again = f"python -m tests.python.fuzz.soak --files {len(seeds)} --seed {seeds[0]}"
        return [f"the run broke off with {type(error).__name__}: {error}\n  again: {again}"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
