# SPDX-License-Identifier: Apache-2.0
"""The Airflows that the project is tested with, oldest first, each with its lock and the Pythons that it supports.

As a program it prints all cells of the matrix (``3.1/3.12``) as JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Airflow:
    """``pythons`` is what Airflow's own metadata allow, of the Pythons that this project supports. The lock has nothing
    that was released after ``until``, but what this project itself needs newer."""

    name: str
    lock: str
    pythons: tuple[str, ...]
    until: str | None = None


OLDEST = Airflow("oldest", "constraints/oldest.txt", ("3.11", "3.12"))
# The newest patch of each earlier minor version, as it was installed in the weeks after its release: what was released
# later broke some of them (Airflow 3.0 takes no newer FastAPI or PyJWT, and does not say so).
OLDER = (
    Airflow("2.11", "constraints/airflow-2.11.txt", ("3.11", "3.12"), "2026-04-01"),
    Airflow("3.0", "constraints/airflow-3.0.txt", ("3.11", "3.12"), "2025-09-15"),
    Airflow("3.1", "constraints/airflow-3.1.txt", ("3.11", "3.12", "3.13"), "2026-04-01"),
    Airflow("3.2", "constraints/airflow-3.2.txt", ("3.11", "3.12", "3.13"), "2026-07-15"),
)
NEWEST = Airflow("3.3", "constraints/airflow-3.3.txt", ("3.11", "3.12", "3.13"))
AIRFLOWS = (OLDEST, *OLDER, NEWEST)


def cell_name(airflow: Airflow, python: str) -> str:
    """As ``make matrix CELLS=…`` takes it."""
    return f"{airflow.name}/{python}"


if __name__ == "__main__":
    print(json.dumps([cell_name(airflow, python) for airflow in AIRFLOWS for python in airflow.pythons]))
