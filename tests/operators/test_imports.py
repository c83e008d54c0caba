# SPDX-License-Identifier: Apache-2.0
"""What a DAG file pays for importing the provider: nothing that only a running task needs."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys

import airflow_provider_aigen

HEAVY = {
    "PIL", "aiohttp", "boto3", "botocore", "httpx", "httpx_aiohttp", "numpy", "pandas", "pyarrow", "pybase64", "redis",
}  # fmt: skip

# What any operator makes Airflow import is there before, and not counted.
PROGRAM = """
import importlib, json, sys
from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowFailException, BaseHook, BaseOperator
with DAG("other", schedule=None):
    BaseOperator(task_id="nothing")
before = set(sys.modules)
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
from airflow_provider_aigen.operators.ocr import AigenOcrOperator
with DAG("parsed", schedule=None):
    AigenOcrOperator(task_id="ocr", source="s3://a-b-c/in/", destination="s3://lake/out/", dead_letter="s3://lake/dead/")
print(json.dumps(sorted(set(sys.modules) - before)))
"""


# What only a running task imports, and the simulator.
AT_RUN_TIME = (
    "airflow_provider_aigen.adapters",
    "airflow_provider_aigen.hooks.redis",
    "airflow_provider_aigen.simulator",
)


def test_parsing_a_dag_imports_nothing_heavy(airflow_home):
    modules = pkgutil.walk_packages(airflow_provider_aigen.__path__, "airflow_provider_aigen.")
    names = [module.name for module in modules if not module.name.startswith(AT_RUN_TIME)]
    assert {"airflow_provider_aigen.hooks.aigen", "airflow_provider_aigen.operators.ocr"} <= set(names)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(names)], capture_output=True, text=True, check=True, env=os.environ
    )
    new = json.loads(done.stdout.splitlines()[-1])
    assert sorted({name.partition(".")[0] for name in new} & HEAVY) == []
    assert [name for name in new if name.startswith("airflow_provider_aigen.adapters")] == []
