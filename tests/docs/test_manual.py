# SPDX-License-Identifier: Apache-2.0
"""The manual, README and the reference: each code block is run, and what tables and samples say is what the code does.

A block that can't be run has ``<!-- no-test: reason -->`` in the line above it. The README's DAG is run once, against
SeaweedFS and the simulator; most tests look at what that left.
"""

from __future__ import annotations

import fnmatch
import inspect
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import threading
import types
import urllib.request
from contextlib import closing, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pytest

from airflow_provider_aigen.cli.entry import parser
from demo.lake import DEAD_LETTER, DESTINATION
from tests.docs.manual import MANUAL, python_blocks, runnable
from tests.docs.markdown import ROOT, blocks, plain, table, text
from tests.kit.servers.process import free_port
from tests.parsing import parse, round_trip

BIN = Path(sys.executable).parent
OPERATORS, HOOK, TABLES = "docs/reference/operators.md", "docs/reference/hook.md", "docs/reference/tables.md"


# --- the blocks -------------------------------------------------------------------------------------------------------


def test_every_block_has_a_language_that_is_tested_or_says_why_not():
    found = [block for page in MANUAL for block in blocks(page)]
    assert {block.language for block in found} == {"", "python", "bash", "console", "json", "sql"}
    assert [
        block for block in found if block.language == "" and re.search(r"^(\$|pip|export|python) ", block.text)
    ] == []
    assert sum(block.untested is not None for block in found) <= 3


def test_a_command_of_the_provider_has_arguments_that_it_knows():
    console = [block.text for page in MANUAL for block in blocks(page) if block.language == "console"]
    typed = [line for text in console for line in text.splitlines() if line.startswith("$ ")]
    assert len(typed) >= 3
    for line in typed:
        assert parser().parse_args(shlex.split(line.removeprefix("$ airflow aigen "))).func


@pytest.mark.parametrize("block", python_blocks(), ids=str)
def test_a_python_block_is_a_dag_file_that_parses_and_serialises(block, airflow_db, tmp_path):
    path = tmp_path / "readme_block.py"
    path.write_text(block.text, encoding="utf-8")
    bag = parse(path)
    assert bag.import_errors == {}
    assert bool(bag.dags) == ("@dag" in block.text)
    for dag in bag.dags.values():
        assert set(round_trip(dag).task_dict) == set(dag.task_dict)


def test_the_task_of_ones_own_reads_a_book(run):
    [block] = [block for block in python_blocks() if "AigenHook" in block.text and "@task" in block.text]
    module = types.ModuleType("readme_hook")
    exec(compile(block.text, block.page, "exec"), module.__dict__)
    read = run.lake.tables().execute("SELECT source_uri FROM documents WHERE outcome = 'extracted'").fetchall()
    path = run.scans / read[0][0].rpartition("/")[2]
    assert module.read_one.function(str(path)) == 1


@pytest.mark.parametrize("block", runnable("bash"), ids=str)
def test_a_bash_block_runs(block, airflow_db, tmp_path):
    """In a folder, a database and on a port of its own; what it leaves running is stopped."""
    port = str(free_port())
    with closing(sqlite3.connect(airflow_db)) as there, closing(sqlite3.connect(tmp_path / "airflow.db")) as here:
        there.backup(here)
    env = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'airflow.db'}",
        "AIGEN_API_KEY": "key-of-the-readme-test",
    }
    script = block.text.replace("8090", port) + "\nenv > environment\n"
    shell = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        env=env,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    over = threading.Timer(120, _end, (shell,))
    over.start()
    with shell:
        try:
            said = list(takewhile(lambda line: not line.startswith("AIGEN simulator at"), shell.stdout))
            if shell.wait() != 0:
                _end(shell)
                pytest.fail("".join([*said, *shell.stdout])[-4000:])
            if "simulator --port" in block.text:
                assert _stats(port)["calls"] == 0
                assert any((tmp_path / "scans").rglob("*.jpg"))
            for name, value in _environment(tmp_path / "environment").items():
                if name in block.text:
                    assert json.loads(value)["conn_type"] in ("aigen", "aws")
        finally:
            over.cancel()
            _end(shell)


def _environment(written: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in written.read_text(encoding="utf-8").splitlines())
    return {name: value for name, _, value in lines if name.startswith("AIRFLOW_CONN_")}


def _stats(port: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=30) as answer:
        return json.load(answer)


def _end(shell: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(shell.pid, signal.SIGTERM)
    shell.wait()


@pytest.mark.parametrize("block", runnable("sql"), ids=str)
def test_a_query_runs_on_what_the_dag_left(block, run):
    run.lake.tables()
    text = block.text.replace(f"s3://{'/'.join(DESTINATION)}", f"{run.mirror}/")
    assert "s3://" not in text
    rows = duckdb.connect().execute(text).fetchall()
    assert rows
    assert any(value for row in rows for value in row)


@pytest.mark.parametrize("block", runnable("json"), ids=str)
def test_a_json_block_parses(block):
    assert json.loads(block.text)


# --- what the text says -----------------------------------------------------------------------------------------------


def test_a_commit_without_its_mark_is_written_again_with_the_same_bytes(run):
    bucket, prefix = DESTINATION
    [mark] = [item["Key"] for item in run.lake.list(bucket, f"{prefix}_aigen/commits/") if "applied" in item["Key"]]
    parts = {
        item["Key"]: run.lake.read(bucket, item["Key"])
        for table_name in ("fields", "documents")
        for item in run.lake.list(bucket, f"{prefix}{table_name}/")
    }
    before = run.calls_served
    for key in (mark, *parts):
        run.client.delete_object(Bucket=bucket, Key=key)
    run.dag("2026-11-24T12:00")
    assert {key: run.lake.read(bucket, key) for key in parts} == parts
    assert run.calls_served == before


def test_the_samples_have_the_shape_of_the_real_things(run):
    samples = [json.loads(block.text) for block in runnable("json")]
    [record] = [sample for sample in samples if "schema_version" in sample]
    [result] = [sample for sample in samples if "api_calls" in sample]
    keys = [key for key in run.lake.dead_letters() if "can_not_find" in key]
    assert list(record) == list(json.loads(run.lake.read(DEAD_LETTER[0], keys[0])))
    ends = ("extracted", "partial", "dead_letter", "gone")
    assert result["documents"] == sum(result[end] for end in ends)
    assert set(result) - {"report"} <= set(run.report)


def test_the_parameters_are_those_of_the_operator():
    from airflow_provider_aigen.operators.ocr import AigenOcrOperator

    signature = inspect.signature(inspect.unwrap(AigenOcrOperator.__init__)).parameters
    own = {name: parameter for name, parameter in signature.items() if name not in ("self", "kwargs")}
    listed = {plain(name): default for name, default, _ in table(OPERATORS, "Parameters")}
    assert list(listed) == list(own)
    for name, parameter in own.items():
        if parameter.default is inspect.Parameter.empty:
            assert listed[name] == "required", name
        else:
            assert (
                json.loads(
                    plain(listed[name]).replace("None", "null").replace("True", "true").replace("False", "false")
                )
                == parameter.default
            )
    assert set(own) - set(AigenOcrOperator.template_fields) == {
        "max_in_flight",
        "batch_size",
        "max_repeat_ratio",
        "retry_passing_after",
        "retry_passing_rounds",
        "copy_image",
        "fail_on_empty_source",
        "newest_first",
        "record_schema",
    }


def test_the_connection_has_these_fields():
    from airflow_provider_aigen.get_provider_info import get_provider_info

    [connection] = get_provider_info()["connection-types"]
    listed = {name for row in table(HOOK, "The connection") for name in re.findall(r"`([a-z_]+)`", row[0])}
    assert listed == {"host", "password", *connection["conn-fields"]}


def test_the_metrics_are_called_so():
    package = ROOT / "airflow_provider_aigen"
    sent = {
        name for path in package.rglob("*.py") for name in re.findall(r'"(aigen\.[a-z_]+)"', path.read_text("utf-8"))
    }
    named = set(re.findall(r"`(aigen\.[a-z_]+)`", text("docs/metrics.md")))
    assert named == sent


@pytest.mark.parametrize(
    ("name", "schema"), [("fields", "FIELDS_SCHEMA"), ("documents", "DOCUMENTS_SCHEMA"), ("runs", "RUNS_SCHEMA")]
)
def test_the_tables_have_these_columns(name, schema):
    from airflow_provider_aigen.adapters.tables import schemas

    listed = [(plain(row[0]), row[1]) for row in table(TABLES, f"Columns of `{name}`")]
    assert listed == _columns(getattr(schemas, schema))


def test_the_table_records_has_these_columns():
    from airflow_provider_aigen.adapters.tables.schemas import records_schema
    from airflow_provider_aigen.core.records.schema import TYPES, built_in_schema, record_columns

    schema = built_in_schema("vehicle-registration-book/v2", "")
    listed = [(plain(row[0]), row[1]) for row in table(TABLES, "Columns of `records`")]
    assert listed == _columns(records_schema(record_columns(schema)))
    types = {plain(row[0]): row[1] for row in table("docs/how-to/records.md", "Types")}
    assert tuple(types) == TYPES
    columns = _columns(records_schema(record_columns(tuple((name, name) for name in TYPES))))
    assert [column for column in columns if column[0] in types] == list(types.items())


def _columns(schema: Any) -> list[tuple[str, str]]:
    return [(column.name, _type(column.type) + ("" if column.nullable else ", not null")) for column in schema]


def _type(arrow: Any) -> str:
    return str(arrow).replace("item: ", "").replace("element: ", "")


def test_every_code_that_has_a_rule_is_in_the_table():
    from airflow_provider_aigen.core.service import codes

    named = {code for row in table("docs/reference/failures.md") for code in re.findall(r"`([^`]+)`", row[1])}
    own = {
        value
        for name, value in vars(codes).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    }
    assert own
    assert own | {"1001", "1002", "1003", "20000", "20002", "400", "internal_server_error"} <= named


# --- the permissions --------------------------------------------------------------------------------------------------


def needed(call: dict[str, Any]) -> set[tuple[str, str]]:
    """What S3 asks for before it does a call: (action, resource)."""
    bucket = f"arn:aws:s3:::{call['Bucket']}"
    target = f"{bucket}/{call.get('Key')}"
    match call["operation"]:
        case "ListObjectsV2":
            return {("s3:ListBucket", bucket)}
        case "GetObject":
            return {("s3:GetObjectVersion" if call.get("VersionId") else "s3:GetObject", target)}
        case "PutObject":
            # A condition on what is there reads it.
            read = {("s3:GetObject", target)} if call.get("IfMatch") else set()
            return {("s3:PutObject", target), *read}
        case "CopyObject":
            source, _, version = call["CopySource"].partition("?versionId=")
            read_action = "s3:GetObjectVersion" if version else "s3:GetObject"
            return {(read_action, f"arn:aws:s3:::{unquote(source)}"), ("s3:PutObject", target)}
    raise AssertionError(f"the policy says nothing of {call['operation']}")


def granted() -> set[tuple[str, str]]:
    [block] = [block for block in runnable("json") if "Statement" in block.text]
    grants: set[tuple[str, str]] = set()
    for statement in json.loads(block.text)["Statement"]:
        assert statement["Effect"] == "Allow"
        actions, resources = (
            value if isinstance(value, list) else [value] for value in (statement["Action"], statement["Resource"])
        )
        grants |= {(action, resource) for action in actions for resource in resources}
    return grants


def test_the_policy_allows_all_that_a_run_calls(run):
    asked = {need for call in run.s3_calls for need in needed(call)}
    refused = {
        (action, resource)
        for action, resource in asked
        if not any(action == allowed and fnmatch.fnmatchcase(resource, pattern) for allowed, pattern in granted())
    }
    assert refused == set()


def test_the_policy_allows_nothing_that_a_run_never_calls(run):
    asked = {need for call in run.s3_calls for need in needed(call)}
    unused = {
        (action, pattern)
        for action, pattern in granted()
        if not any(action == used and fnmatch.fnmatchcase(resource, pattern) for used, resource in asked)
    }
    # Only a run that reads a passing dead letter after all removes it; this one found none.
    assert unused == {("s3:DeleteObject", "arn:aws:s3:::lake/dead_letter/vehicle_registration/*")}
