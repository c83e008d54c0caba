# SPDX-License-Identifier: Apache-2.0
"""`python -m airflow_provider_aigen.simulator.books OUT`: draws documents into a folder."""

from __future__ import annotations

import argparse
import collections
import sys
from pathlib import Path

from airflow_provider_aigen.simulator.books.each_code import write_each_code
from airflow_provider_aigen.simulator.books.manifest import MANIFEST
from airflow_provider_aigen.simulator.books.mix import SMALLEST, write_books


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 2 for a wrong argument."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_aigen.simulator.books",
        description="Draws synthetic Thai vehicle registration books, and what else lies under a prefix.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help=f"folder for images/ and {MANIFEST}")
    parser.add_argument("--count", type=int, default=60, help=f"objects, at least {SMALLEST} (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="another seed, other documents (default: %(default)s)")
    parser.add_argument("--each-code", action="store_true", help="one object for each code of the contract instead")
    parsed = parser.parse_args(arguments)
    if parsed.each_code:
        entries = write_each_code(parsed.out, parsed.seed)
    elif parsed.count < SMALLEST:
        parser.error(f"--count: at least {SMALLEST}")
    else:
        entries = write_books(parsed.out, parsed.count, parsed.seed)
    outcomes = collections.Counter(entry.expected.outcome for entry in entries)
    print(
        f"{len(entries)} objects in {parsed.out}: " + ", ".join(f"{n} {name}" for name, n in sorted(outcomes.items()))
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
