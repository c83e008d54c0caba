# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.simulation``: replay a seed with its trace, or run schedules for as long as one likes."""

from __future__ import annotations

import argparse
import gc
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from tests.simulation.campaign import run_seeds, seeds_prepared
from tests.simulation.draw import draw
from tests.simulation.driver import simulate
from tests.simulation.mutations import MUTATIONS, mutated
from tests.simulation.upkeep import draw_upkeep, simulate_upkeep

_CHUNK = 250
_COUNTED = (
    "schedules",
    "steps",
    "points",
    "processes",
    "calls",
    "paid_again",
    "late",
    "letters",
    "healed",
    "final",
    "redriven",
    "merged",
    "erased",
)


def replay(seed: int, mutation: str | None, *, upkeep: bool = False) -> int:
    work = partial(simulate_upkeep, draw_upkeep(seed)) if upkeep else partial(simulate, draw(seed))
    print(work.args[0])
    with seeds_prepared(), mutated(mutation) if mutation else nullcontext():
        try:
            work(trace=print)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this seed's
            print(f"seed {seed}: {type(error).__name__}: {error}")
            return 1
    print(f"seed {seed}: all holds")
    return 0


def soak(first: int, schedules: int, jobs: int, mutation: str | None, *, upkeep: bool = False) -> int:
    began = time.monotonic()
    chunks = [range(at, min(at + _CHUNK, first + schedules)) for at in range(first, first + schedules, _CHUNK)]
    work = partial(run_seeds, mutation=mutation, upkeep=upkeep)
    gc.collect()
    gc.freeze()  # for the children
    failures = _report(_in_children(work, chunks, jobs), mutation, began, upkeep=upkeep)
    took = time.monotonic() - began
    print(f"{failures} of {schedules} schedules failed; {took:.0f} s, {schedules / took:.0f} a second")
    return 1 if failures else 0


def _in_children(work: Any, chunks: Iterable[range], jobs: int) -> Iterator[Any]:
    """Each chunk in a process of its own, ``jobs`` at once, so that nobody need collect garbage: the process ends."""
    fork = get_context("fork")
    waiting, running = iter(chunks), {}
    while True:
        while len(running) < jobs and (chunk := next(waiting, None)) is not None:
            receiver, sender = fork.Pipe(duplex=False)
            child = fork.Process(target=_child, args=(work, chunk, sender))
            child.start()
            sender.close()
            running[receiver] = child
        if not running:
            return
        for ready in wait(list(running)):
            assert isinstance(ready, Connection)
            result = ready.recv()
            running.pop(ready).join()
            yield result


def _child(work: Any, chunk: range, sender: Connection) -> None:
    gc.disable()
    sender.send(work(chunk))


def _report(results: Iterable[Any], mutation: str | None, began: float, *, upkeep: bool) -> int:
    counts: Counter[str] = Counter()
    failures = 0
    options = ("--upkeep " if upkeep else "") + (f"--mutation {shlex.quote(mutation)} " if mutation else "")
    for number, (some, failed) in enumerate(results, start=1):
        counts.update(some)
        failures += len(failed)
        for seed, problem in failed:
            print(
                f"FAILED seed {seed}: {problem}\n  replay: python -m tests.simulation {options}--seed {seed}",
                flush=True,
            )
        if number % 8 == 0:
            took = time.monotonic() - began
            print(f"{counts['schedules']} schedules, {failures} failed, {took:.0f} s", flush=True)
    print(", ".join(f"{counts[name]} {name}" for name in _COUNTED))
    return failures


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this seed and print all that happens")
    parser.add_argument("--schedules", type=int, default=1000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--mutation", choices=list(MUTATIONS), help="with this deliberate bug")
    parser.add_argument("--upkeep", action="store_true", help="with redrives, rebuilds and erasures beside the runs")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return replay(options.seed, options.mutation, upkeep=options.upkeep)
    return soak(options.first, options.schedules, options.jobs, options.mutation, upkeep=options.upkeep)


if __name__ == "__main__":
    sys.exit(main())
