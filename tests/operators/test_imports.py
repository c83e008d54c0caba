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
    "PIL", "aiohttp", "boto3", "botocore", "httpx", "httpx_aiohttp", "numpy", "obstore", "pandas", "pyarrow",
    "pybase64", "redis",
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

# What a DAG file imports: all that it can name.
FOR_A_DAG_FILE = (
    "airflow_provider_aigen.assets",
    "airflow_provider_aigen.hooks.aigen",
    "airflow_provider_aigen.operators.dead_letter",
    "airflow_provider_aigen.operators.erase",
    "airflow_provider_aigen.operators.ocr",
    "airflow_provider_aigen.operators.plan",
    "airflow_provider_aigen.operators.report",
    "airflow_provider_aigen.operators.tables",
    "airflow_provider_aigen.runtime.retry_policy",
    "airflow_provider_aigen.task_groups",
)
# What these import of the rest: names, checks and links. A dataclass is as dear to make as a module of functions is to
# load, so settings and all that flows (core.config, core.models) belong to a run. Design §7; benchmarks/parse_cost.py.
FOR_PARSING = {
    "airflow_provider_aigen.core",
    "airflow_provider_aigen.core.checks",
    "airflow_provider_aigen.core.defaults",
    "airflow_provider_aigen.core.errors",
    "airflow_provider_aigen.core.globs",
    "airflow_provider_aigen.core.path_segments",
    "airflow_provider_aigen.core.records",
    "airflow_provider_aigen.core.records.schema",
    "airflow_provider_aigen.core.uris",
    "airflow_provider_aigen.hooks",
    "airflow_provider_aigen.connections",
    "airflow_provider_aigen.connections.form",
    "airflow_provider_aigen.links",
    "airflow_provider_aigen.operators",
    "airflow_provider_aigen.operators.base",
    "airflow_provider_aigen.runtime",
    "airflow_provider_aigen.runtime.loop",
    "airflow_provider_aigen.signals",
    "airflow_provider_aigen.runtime.outlets",
    "airflow_provider_aigen.runtime.parameters",
    *FOR_A_DAG_FILE,
}

# What is imported once a task runs or a connection is used, and programs of their own.
AT_RUN_TIME = (
    "airflow_provider_aigen.adapters",
    "airflow_provider_aigen.cli",
    "airflow_provider_aigen.connections.redis",
    "airflow_provider_aigen.connections.s3",
    "airflow_provider_aigen.hooks.extractor",
    "airflow_provider_aigen.openlineage",
    "airflow_provider_aigen.runtime.assembly",
    "airflow_provider_aigen.runtime.settings",
    "airflow_provider_aigen.runtime.shared_plan",
    "airflow_provider_aigen.runtime.task",
    "airflow_provider_aigen.runtime.upkeep",
    "airflow_provider_aigen.simulator",
)


def newly_imported(names: list[str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(names)], capture_output=True, text=True, check=True, env=os.environ
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_a_dag_file_imports_no_more_of_the_provider_than_parsing_needs(airflow_home):
    new = newly_imported(list(FOR_A_DAG_FILE))
    ours = {name for name in new if name.startswith("airflow_provider_aigen.")}
    assert {"airflow_provider_aigen.operators.ocr", "airflow_provider_aigen.hooks.aigen"} <= ours
    assert ours <= FOR_PARSING


def test_no_module_but_those_of_a_running_task_imports_anything_heavy(airflow_home):
    modules = pkgutil.walk_packages(airflow_provider_aigen.__path__, "airflow_provider_aigen.")
    names = [module.name for module in modules if not module.name.startswith(AT_RUN_TIME)]
    assert set(FOR_A_DAG_FILE) <= set(names)
    new = newly_imported(names)
    assert sorted({name.partition(".")[0] for name in new} & HEAVY) == []
    assert [name for name in new if name.startswith("airflow_provider_aigen.adapters")] == []
