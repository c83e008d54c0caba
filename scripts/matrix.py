# SPDX-License-Identifier: Apache-2.0
"""The tests on each Airflow and each Python that it supports, one cell after the other, and a table of what they said.

``matrix.py`` runs all cells, ``matrix.py 3.1/3.12 oldest`` that one and those of the oldest. Each has an environment of
its own in ``.matrix/``, installed from its lock, and its output beside it. What depends neither on Airflow nor on a
library is tested with the newest Airflow only, on each Python. A Python that this machine doesn't have is told in
capitals; it fails only the cells that were asked for by name. pytest takes options from PYTEST_ADDOPTS.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from interpreters import find
from versions import AIRFLOWS, NEWEST, ROOT, Airflow, cell_name

PLACE = ROOT / ".matrix"
COUNTS = ("passed", "failed", "errors", "skipped")


@dataclass(frozen=True)
class Cell:
    """One Airflow on one Python."""

    airflow: Airflow
    python: str

    @property
    def name(self) -> str:
        return cell_name(self.airflow, self.python)

    @property
    def venv(self) -> Path:
        return PLACE / f"airflow-{self.airflow.name}-python-{self.python}"

    @property
    def log(self) -> Path:
        return self.venv.with_suffix(f"{self.venv.suffix}.log")


class State(Enum):
    """What became of a cell."""

    OK = "ok"
    FAILED = "FAILED"
    NOT_INSTALLED = "COULD NOT BE INSTALLED"
    NO_PYTHON = "NOT RUN: THIS MACHINE HAS NO SUCH PYTHON"


@dataclass(frozen=True)
class Result:
    """``counts``: pytest's, by word."""

    cell: Cell
    state: State
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0


CELLS = tuple(Cell(airflow, python) for airflow in AIRFLOWS for python in airflow.pythons)


def _install(cell: Cell, python: Path) -> bool:
    with cell.log.open("w", encoding="utf-8") as log:
        done = subprocess.run(
            ["bash", "scripts/install.sh", str(cell.venv), cell.airflow.lock],
            cwd=ROOT,
            env={**os.environ, "PYTHON": str(python)},
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return done.returncode == 0


def _counts(output: str) -> dict[str, int]:
    """From pytest's closing line: ``1 error, 340 passed in 3.1s`` → by word."""
    closing = re.findall(r"^(?=\d+ \w)(.*) in [\d.]+s", output, re.MULTILINE)
    found = dict(reversed(pair.split(" ", 1)) for pair in closing[-1].split(", ")) if closing else {}
    return {word: int(found.get(word, found.get(word.removesuffix("s"), 0))) for word in COUNTS}


def run(cell: Cell) -> Result:
    """Installs the cell and runs its tests."""
    python = find(cell.python)
    if python is None:
        return Result(cell, State.NO_PYTHON)
    if not _install(cell, python):
        return Result(cell, State.NOT_INSTALLED)
    scope = [] if cell.airflow is NEWEST else ["--no-pure"]
    started = time.monotonic()
    with cell.log.open("w", encoding="utf-8") as log:
        tests = subprocess.run(
            [cell.venv / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *scope],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    state = State.FAILED if tests.returncode else State.OK
    return Result(cell, state, _counts(cell.log.read_text(encoding="utf-8")), time.monotonic() - started)


def rows(results: list[Result]) -> Iterator[str]:
    """The table."""
    yield f"{'Airflow/Python':16}" + "".join(f"{word:>9}" for word in COUNTS) + f"{'time':>9}"
    for result in results:
        counts = "".join(f"{result.counts.get(word, '-'):>9}" for word in COUNTS)
        log = f": {result.cell.log.relative_to(ROOT)}" if result.state in (State.FAILED, State.NOT_INSTALLED) else ""
        yield f"{result.cell.name:16}{counts}{result.seconds:>8.0f}s  {result.state.value}{log}"


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", help="3.1/3.12, or 3.1 for all its Pythons; none for all")
    arguments = parser.parse_args()
    chosen = [cell for cell in CELLS if not arguments.cells or {cell.name, cell.airflow.name} & {*arguments.cells}]
    unknown = {*arguments.cells} - {name for cell in chosen for name in (cell.name, cell.airflow.name)}
    if unknown:
        parser.error(f"no such cell: {', '.join(sorted(unknown))}")
    PLACE.mkdir(exist_ok=True)
    results = []
    for cell in chosen:
        print(f"{cell.name} …", flush=True)
        results.append(run(cell))
    print("\n".join(rows(results)))
    missing = sum(result.state is State.NO_PYTHON for result in results)
    if missing:
        print(f"{missing} OF {len(results)} CELLS WERE NOT RUN", file=sys.stderr)
    bad = [result for result in results if result.state is not State.OK]
    forgiven = missing if missing < len(results) and not arguments.cells else 0
    return 1 if len(bad) > forgiven else 0


if __name__ == "__main__":
    sys.exit(main())
