# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.crash``: real processes, real signals, a real S3; a table at the end, exit code 1 for a violation.

``--trials 200`` runs a campaign; ``--seed 17`` draws one trial again, ``--times 5`` five times, as the interleaving is
the machine's. The processes' logs stay where it says.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.campaign import campaign, table
from tests.crash.driver import Result
from tests.crash.trial import KINDS, draw


def tell(result: Result) -> None:
    trial = result.trial
    told = f"{trial.seed:6d} {trial.kind:12s} {result.took_s:5.1f} s, paid again {result.paid_again} of {result.bound}"
    print(f"{told}; {dict(result.signals)} {dict(result.ends)} {dict(result.faults)}", flush=True)
    for violation in result.violations:
        print(f"  VIOLATED: {violation}", flush=True)
    if result.violations:
        print(f"  again: python -m tests.crash --seed {trial.seed} --kind {trial.kind}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--trials", type=int, default=20, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--times", type=int, default=1, help="so often")
    parser.add_argument("--kind", choices=KINDS, help="instead of the seed's own")
    parser.add_argument("--jobs", type=int, default=3, help="trials at once")
    parser.add_argument("--quiet", action="store_true", help="violations and the table only")
    options = parser.parse_args(arguments)
    trials = [draw(seed, options.kind) for seed in range(options.first, options.first + options.trials)]
    if options.seed is not None:
        trials = [draw(options.seed, options.kind, repetition) for repetition in range(options.times)]
    folder = Path(tempfile.mkdtemp(prefix="aigen-crash-"))
    began = time.monotonic()
    results = campaign(
        trials,
        jobs=1 if options.seed is not None else options.jobs,
        folder=folder,
        tell=(lambda result: tell(result) if result.violations else None) if options.quiet else tell,
    )
    print()
    print("\n".join(table(results)))
    print(f"\n{time.monotonic() - began:.0f} s; logs in {folder / 'logs'}")
    return 1 if any(result.violations for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
