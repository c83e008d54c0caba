# SPDX-License-Identifier: Apache-2.0
"""How long a task works before its first call: ``python -m benchmarks.start_up [--rounds 5] [--profile]``.

Airflow is imported and the operator is made before the time begins, as a worker has done when it calls ``execute``. It
ends when the endpoint's kernel receives the first byte of the first request. In between, the task imports what only a
running task needs, the AWS client among it, opens its connections, lists, plans and claims. Every round is a process of
its own. ``--profile`` shows the modules whose import takes longest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from statistics import median
from typing import Any

from benchmarks.documents import scans
from benchmarks.endpoint import endpoint
from benchmarks.rows import Job, ocr_operator, task_context
from tests.kit.servers.process import ROOT, environment


def measure(job: Job) -> None:
    """Run a task in this process, and print when it began, in seconds since 1970, and what its imports took of it."""
    from airflow_provider_aigen.operators.base import uncollected  # noqa: PLC0415 - its heavy imports are the row's

    operator, context = ocr_operator(job), task_context()
    began_s, cpu_s = time.time(), time.process_time()
    with uncollected():  # as `execute` does it first
        import airflow_provider_aigen.runtime.task  # noqa: F401, PLC0415
        from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient  # noqa: PLC0415

    imported_s, imported_cpu_s = time.time() - began_s, time.process_time() - cpu_s
    called_cpu_s: list[float] = []
    call = HttpOcrClient.call

    def first_call(*args: Any, **kwargs: Any) -> Any:
        called_cpu_s.append(time.process_time() - cpu_s)
        return call(*args, **kwargs)

    HttpOcrClient.call = first_call  # type: ignore[method-assign]
    done = operator.execute(context)
    assert done["extracted"] == job.documents, done
    print(json.dumps([began_s, imported_s, called_cpu_s[0], imported_cpu_s]))


def main() -> None:
    """The medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        measure(Job(**json.loads(given.job)))
        return
    found: list[list[float]] = []
    with scans(1) as server, endpoint(0, 0) as ocr, tempfile.TemporaryDirectory() as home:
        env = environment(
            AIRFLOW_HOME=home, AIRFLOW__CORE__LOAD_EXAMPLES="False", PYTHONPATH=os.environ.get("PYTHONPATH", "")
        )
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled
        job = json.dumps(asdict(Job(server.endpoint_url, ocr.url, 1)))
        profile = ["-X", "importtime"] if given.profile else []
        for number in range(given.rounds + 1):
            command = [sys.executable, *profile, "-m", "benchmarks.start_up", "--job", job]
            done = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
            began_s, *rest = json.loads(done.stdout.splitlines()[-1])
            (called_s,) = ocr.starts()
            if number:  # the first compiles, and fills the file cache
                found.append([called_s - began_s, *rest])
    if given.profile:
        _show_imports(done.stderr)
    before_s, imported_s, cpu_s, imported_cpu_s = (median(values) for values in zip(*found, strict=True))
    print(f"before the first call: {before_s:.2f} s, of which imports take {imported_s:.2f} s")
    print(f"processor time: {cpu_s:.2f} s, of which imports take {imported_cpu_s:.2f} s")


def _show_imports(log: str) -> None:
    """What was imported after the operator, dearest first."""
    lines = [line for line in log.splitlines() if line.startswith("import time:")]
    last = max(number for number, line in enumerate(lines) if line.endswith(" airflow_provider_aigen.operators.ocr"))
    timed = [line.removeprefix("import time:").split("|") for line in lines[last + 1 :]]
    for alone_us, all_us, name in sorted(timed, key=lambda each: -int(each[1]))[:60]:
        print(f"{int(all_us) / 1000:8.1f} ms with what it imports, {int(alone_us) / 1000:7.1f} alone  {name.strip()}")


if __name__ == "__main__":
    main()
