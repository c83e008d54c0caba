# SPDX-License-Identifier: Apache-2.0
"""CPU time an id and memory of the ledger, beside a plain set: ``python benchmarks/ledger.py [COUNT]``."""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
import time

from airflow_provider_aigen.adapters.ledger import DiskLedger

_BATCH = 500  # documents a commit


def _ids(first: int) -> list[str]:
    return [hashlib.sha256(number.to_bytes(8, "big")).hexdigest()[:32] for number in range(first, first + _BATCH)]


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _measure(kind: str, count: int) -> None:
    before = _peak_mib()
    ledger: DiskLedger | set[str] = DiskLedger() if kind == "disk" else set()
    adding = asking = 0.0
    for first in range(0, count, _BATCH):
        ids = _ids(first)
        start = time.process_time()
        (ledger.add if isinstance(ledger, DiskLedger) else ledger.update)(ids)
        adding += time.process_time() - start
    found = 0
    for first in range(0, 2 * count, 2 * _BATCH):  # half of them are there
        ids = _ids(first)
        start = time.process_time()
        found += sum(one in ledger for one in ids)
        asking += time.process_time() - start
    per_id = 1e6 / count
    print(
        f"{kind:4} {count} ids: add {adding * per_id:.1f} µs, ask {asking * per_id:.1f} µs an id; "
        f"memory {before:.0f} → {_peak_mib():.0f} MiB; {found} found"
    )


def main() -> None:
    """Measures each kind in a process of its own: peak memory never goes down."""
    if len(sys.argv) == 3:
        _measure(sys.argv[1], int(sys.argv[2]))
        return
    count = sys.argv[1] if len(sys.argv) > 1 else "1000000"
    for kind in ("disk", "set"):
        subprocess.run([sys.executable, __file__, kind, count], check=True)


if __name__ == "__main__":
    main()
