# SPDX-License-Identifier: Apache-2.0
"""What the operator adds to the parsing of a DAG file: ``python benchmarks/parse_cost.py [ROUNDS]``.

Each round starts one process for each way, in turn and in changing order, so that a machine's mood meets all of them:
five rounds are 18 processes of some two seconds each.
A process makes a DAG of an empty operator, with all that this imports, and then measures one DAG more: of ours, or, for
comparison, of the amazon provider's S3 operator. Design: under 25 ms. It is the processor's time: an import waits for
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

_PLACES = 'source="s3://scans/in/", destination="s3://lake/out/", dead_letter="s3://lake/dead/"'
_OURS = "from airflow_provider_aigen.operators.ocr import AigenOcrOperator"
_HOOK = "from airflow_provider_aigen.hooks.aigen import AigenHook"
_AMAZON = "from airflow.providers.amazon.aws.operators.s3 import S3ListOperator"
# Import, and operator.
WAYS = {
    "AigenOcrOperator": (_OURS, f'AigenOcrOperator(task_id="one", {_PLACES})'),
    "AigenOcrOperator and AigenHook": (f"{_OURS}; {_HOOK}", f'AigenOcrOperator(task_id="one", {_PLACES})'),
    "amazon's S3ListOperator": (_AMAZON, 'S3ListOperator(task_id="one", bucket="scans")'),
}
PROGRAM = """
import sys, time
start = time.process_time()
from airflow.providers.common.compat.sdk import DAG, BaseHook, BaseOperator
with DAG("other", schedule=None):
    BaseOperator(task_id="nothing")
between, before = time.process_time(), len(sys.modules)
{imports}
with DAG("one", schedule=None):
    {operator}
end = time.process_time()
print(f"[{{between - start}}, {{end - between}}, {{len(sys.modules) - before}}]")
"""


def measure(way: tuple[str, str], environment: dict[str, str]) -> tuple[float, float, int]:
    """Seconds of the base, seconds and modules of what the way adds."""
    program = PROGRAM.format(imports=way[0], operator=way[1])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    base, added, modules = json.loads(done.stdout.splitlines()[-1])
    return base, added, modules


def main() -> None:
    """The table: median and, in brackets, the quartiles."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seen: dict[str, list[tuple[float, float, int]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled
        for way in WAYS.values():
            measure(way, environment)  # compiles, fills the file cache
        for _ in range(rounds):
            for name in random.sample(list(WAYS), len(WAYS)):
                seen[name].append(measure(WAYS[name], environment))
    base = statistics.median(base for results in seen.values() for base, _, _ in results)
    print(f"{rounds} processes each; Airflow's own import, and a DAG of an empty operator, take {base * 1000:.0f} ms")
    print(f"{'beside it':34}{'adds':>8}{'quartiles':>16}{'of its time':>13}{'modules':>9}")
    for name, results in seen.items():
        low, middle, high = (1000 * value for value in statistics.quantiles((added for _, added, _ in results), n=4))
        ratio = statistics.median(added / base for base, added, _ in results)
        print(f"{name:34}{middle:>5.0f} ms{f'{low:.0f} to {high:.0f} ms':>16}{ratio:>13.1%}{results[0][2]:>9}")


if __name__ == "__main__":
    main()
