# SPDX-License-Identifier: Apache-2.0
"""What importing the operator adds to the parsing of a DAG file: ``python benchmarks/parse_cost.py [ROUNDS]``.

Each round starts one process for each way, in turn and in changing order, so that a machine's mood meets all of them:
five rounds are 18 processes of some two seconds each.
A process imports what every DAG file of Airflow's own operators imports, and then measures one import more: ours, or,
for comparison, the amazon provider's S3 operators. Design: under 50 ms. It is the processor's time: an import waits for
nothing once the files are cached, and the wall clock tells what else the machine did.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile

WAYS = {
    "AigenOcrOperator": "from airflow_provider_aigen.operators.ocr import AigenOcrOperator",
    "AigenOcrOperator and AigenHook": (
        "from airflow_provider_aigen.operators.ocr import AigenOcrOperator\n"
        "from airflow_provider_aigen.hooks.aigen import AigenHook"
    ),
    "amazon's S3 operators": "from airflow.providers.amazon.aws.operators.s3 import S3ListOperator",
}
PROGRAM = """
import sys, time
start = time.process_time()
from airflow.providers.common.compat.sdk import DAG, BaseHook, BaseOperator
between, before = time.process_time(), len(sys.modules)
{way}
end = time.process_time()
print(f"[{{between - start}}, {{end - between}}, {{len(sys.modules) - before}}]")
"""


def measure(way: str, environment: dict[str, str]) -> tuple[float, float, int]:
    """Seconds of the base's import, seconds and modules of what the way adds."""
    program = PROGRAM.format(way=way)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    base, added, modules = json.loads(done.stdout.splitlines()[-1])
    return base, added, modules


def main() -> None:
    """The table: median and, in brackets, the quartiles."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seen: dict[str, list[tuple[float, float, int]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        for way in WAYS.values():
            measure(way, environment)  # compiles, fills the file cache
        for _ in range(rounds):
            for name in random.sample(list(WAYS), len(WAYS)):
                seen[name].append(measure(WAYS[name], environment))
    base = statistics.median(base for results in seen.values() for base, _, _ in results)
    print(f"{rounds} processes each; Airflow's own import takes {base * 1000:.0f} ms")
    print(f"{'beside it':34}{'adds':>8}{'quartiles':>16}{'of its time':>13}{'modules':>9}")
    for name, results in seen.items():
        low, middle, high = (1000 * value for value in statistics.quantiles((added for _, added, _ in results), n=4))
        ratio = statistics.median(added / base for base, added, _ in results)
        print(f"{name:34}{middle:>5.0f} ms{f'{low:.0f} to {high:.0f} ms':>16}{ratio:>13.1%}{results[0][2]:>9}")


if __name__ == "__main__":
    main()
