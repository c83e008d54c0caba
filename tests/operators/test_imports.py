# SPDX-License-Identifier: Apache-2.0
"""What a DAG file pays for importing the operators: nothing that only a running task needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

HEAVY = {
    "PIL", "aiohttp", "boto3", "botocore", "httpx", "httpx_aiohttp", "numpy", "pandas", "pyarrow", "pybase64", "redis",
}  # fmt: skip

PROGRAM = """
import json, sys
from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowFailException, BaseHook, BaseOperator
before = set(sys.modules)
from airflow_provider_aigen.operators.ocr import AigenOcrOperator
with DAG("parsed", schedule=None):
    AigenOcrOperator(task_id="ocr", source="s3://a-b-c/in/", destination="s3://lake/out/", dead_letter="s3://lake/dead/")
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_parsing_a_dag_imports_nothing_heavy(airflow_home):
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=os.environ)
    new = json.loads(done.stdout.splitlines()[-1])
    assert "airflow_provider_aigen.operators.ocr" in new
    assert sorted({name.partition(".")[0] for name in new} & HEAVY) == []
    assert [name for name in new if name.startswith("airflow_provider_aigen.adapters")] == []
