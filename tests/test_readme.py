# SPDX-License-Identifier: Apache-2.0
"""README.md: each code block is run, and what its tables and samples say is what the code does.

A block that can't be run has ``<!-- no-test: reason -->`` in the line above it. The DAG is run once, against SeaweedFS
and the simulator; most tests look at what that left.
"""

from __future__ import annotations

import fnmatch
import inspect
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import types
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import airflow
import duckdb
import pytest

from airflow_provider_aigen.simulator import DEFAULT_KEY, running_simulator
from airflow_provider_aigen.simulator.books.mix import write_books
from demo.lake import DEAD_LETTER, DESTINATION, SOURCE, Lake
from tests.kit.servers.process import free_port
from tests.kit.servers.s3 import seaweedfs
from tests.parsing import parse, round_trip

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BIN = Path(sys.executable).parent
BOOKS = 20


@dataclass(frozen=True)
class Block:
    line: int
    language: str
    text: str
    untested: str | None

    def __str__(self) -> str:
        return f"{self.language or 'text'}-line-{self.line}"


def blocks(markdown: str) -> list[Block]:
    found: list[Block] = []
    lines = markdown.splitlines()
    opened: int | None = None
    for index, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if opened is None:
            opened = index
            continue
        marker = re.fullmatch(r"<!-- no-test: (.+) -->", lines[opened - 1])
        text = "\n".join(lines[opened + 1 : index]) + "\n"
        found.append(Block(opened + 1, lines[opened].removeprefix("```"), text, marker and marker[1]))
        opened = None
    assert opened is None, "a code block is not closed"
    return found


BLOCKS = blocks(README.read_text(encoding="utf-8"))


def runnable(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language and block.untested is None]


def python_blocks() -> list[Block]:
    """As the README says that they read on this Airflow."""
    if not airflow.__version__.startswith("2."):
        return runnable("python")
    text = README.read_text(encoding="utf-8")
    assert "import `dag` and `task` from `airflow.decorators`" in text
    assert "give a DAG a `start_date`" in text
    changes = {
        "from airflow.sdk import": "import datetime\nfrom airflow.decorators import",
        "@dag(": "@dag(start_date=datetime.datetime(2026, 1, 1), ",
    }
    return [
        replace(block, text=reduce(lambda code, change: code.replace(*change), changes.items(), block.text))
        for block in runnable("python")
    ]


def table(heading: str, *, nth: int = 0) -> list[list[str]]:
    """The cells of the nth table under a heading, without its head."""
    section = README.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    tables = [part for part in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE) if part.count("\n") > 2]
    rows = [re.split(r"\s*\|\s*", row.strip("|").strip()) for row in tables[nth].strip().splitlines()]
    return rows[2:]


def plain(cell: str) -> str:
    return cell.strip("`")


# --- the run that most tests look at ----------------------------------------------------------------------------------


@dataclass
class Run:
    """What a user of the README has: its DAG in an Airflow of their own, an S3, an endpoint."""

    lake: Lake
    client: Any
    scans: Path
    mirror: Path
    served: Any
    dag: Callable[[str], None]
    report: dict[str, Any] = field(default_factory=dict)
    s3_calls: list[dict[str, Any]] = field(default_factory=list)

    @property
    def calls_served(self) -> int:
        return self.served.stats()["calls"]


@pytest.fixture(scope="module")
def run(run_dag, tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    write_books(folder / "scans", BOOKS)
    dag_file = folder / "vehicle_registration_ocr.py"
    dag_file.write_text(python_blocks()[0].text, encoding="utf-8")
    dag = parse(dag_file).dags["vehicle_registration_ocr"]

    def run_on(date: str) -> None:
        assert run_dag(dag, logical_date=datetime.fromisoformat(date).replace(tzinfo=UTC)).state == "success"

    with seaweedfs(folder / "s3") as s3, running_simulator() as served, pytest.MonkeyPatch.context() as patch:
        aigen = {"conn_type": "aigen", "host": served.url, "password": DEFAULT_KEY, "extra": {"allow_http": True}}
        patch.setenv("AIRFLOW_CONN_AIGEN_DEFAULT", json.dumps(aigen))
        patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", s3.airflow_connection())
        patch.setenv("S3_CALLS", str(folder / "s3-calls"))
        lake = Lake(s3.client(), folder / "lake")
        lake.create_buckets()
        lake.upload(folder / "scans" / "images")
        made = Run(lake, s3.client(), folder / "scans" / "images", folder / "lake", served, run_on)
        made.dag("2026-11-22T12:00")
        made.s3_calls += map(json.loads, (folder / "s3-calls").read_text(encoding="utf-8").splitlines())
        made.report |= lake.newest_report()
        assert made.report["api_calls"] == made.calls_served > 0
        yield made


# --- the blocks -------------------------------------------------------------------------------------------------------


def test_every_block_has_a_language_that_is_tested_or_says_why_not():
    assert {block.language for block in BLOCKS} == {"", "python", "bash", "json", "sql"}
    assert [block for block in BLOCKS if block.untested is not None and len(block.untested) < 10] == []
    assert sum(block.untested is not None for block in BLOCKS) <= 2


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
    [block] = [block for block in python_blocks() if "AigenHook" in block.text]
    module = types.ModuleType("readme_hook")
    exec(compile(block.text, str(README), "exec"), module.__dict__)
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


def test_the_dag_takes_every_object_once_and_the_next_run_none(run):
    assert run.report["documents"] == sum(1 for _ in run.lake.list(*SOURCE))
    before, reports = run.calls_served, set(run.lake.reports())
    run.dag("2026-11-23T12:00")
    (report,) = set(run.lake.reports()) - reports
    assert json.loads(run.lake.read(DESTINATION[0], report))["documents"] == 0
    assert run.calls_served == before


def test_things_lie_where_the_picture_shows_them(run):
    keys = [item["Key"] for bucket in {DESTINATION[0], DEAD_LETTER[0]} for item in run.lake.list(bucket, "")]
    for pattern in (
        r"vehicle_registration/fields/dt=2026-11-22/c\d{8}-\d{5}\.parquet",
        r"vehicle_registration/documents/dt=2026-11-22/c\d{8}-\d{5}\.parquet",
        r"vehicle_registration/_aigen/(plans|answers|commits|reports)/.+",
        r"dead_letter/vehicle_registration/error_code=[^/]+/[0-9a-f]{32}\.json",
        r"dead_letter/vehicle_registration/error_code=[^/]+/[0-9a-f]{32}\.(jpe?g|png|pdf)",
    ):
        assert any(re.fullmatch(pattern, key) for key in keys), pattern


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
    listed = {plain(name): default for name, default, _ in table("Parameters")}
    assert list(listed) == list(own)
    for name, parameter in own.items():
        if parameter.default is inspect.Parameter.empty:
            assert listed[name] == "required", name
        else:
            assert json.loads(plain(listed[name]).replace("None", "null").replace("True", "true")) == parameter.default
    assert set(own) - set(AigenOcrOperator.template_fields) == {"max_in_flight", "batch_size", "copy_image"}


def test_the_connection_has_these_fields():
    from airflow_provider_aigen.get_provider_info import get_provider_info

    [connection] = get_provider_info()["connection-types"]
    listed = {name for row in table("Connections") for name in re.findall(r"`([a-z_]+)`", row[0])}
    assert listed == {"host", "password", *connection["conn-fields"]}


def test_the_metrics_are_called_so():
    package = ROOT / "airflow_provider_aigen"
    sent = {
        name for path in package.rglob("*.py") for name in re.findall(r'"(aigen\.[a-z_]+)"', path.read_text("utf-8"))
    }
    named = set(re.findall(r"`(aigen\.[a-z_]+)`", README.read_text(encoding="utf-8")))
    assert named
    assert named <= sent


@pytest.mark.parametrize(("nth", "name"), [(0, "FIELDS_SCHEMA"), (1, "DOCUMENTS_SCHEMA")])
def test_the_tables_have_these_columns(nth, name):
    from airflow_provider_aigen.adapters.tables import schemas

    listed = [(plain(row[0]), row[1]) for row in table("Tables", nth=nth)]
    real = [
        (column.name, _type(column.type) + ("" if column.nullable else ", not null"))
        for column in getattr(schemas, name)
    ]
    assert listed == real


def _type(arrow: Any) -> str:
    return str(arrow).replace("item: ", "").replace("element: ", "")


def test_every_code_that_has_a_rule_is_in_the_table():
    from airflow_provider_aigen.core.service import codes

    named = {code for row in table("What each failure gets") for code in re.findall(r"`([^`]+)`", row[1])}
    own = {
        value
        for name, value in vars(codes).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    }
    assert own
    assert own | {"1001", "1002", "1003", "20000", "20002", "400", "internal_server_error"} <= named


# --- the IAM policy ---------------------------------------------------------------------------------------------------


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
    assert unused == set()


def test_links_lead_somewhere():
    text = README.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif "://" not in target:
            assert (ROOT / target).exists(), target


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_the_make_targets_exist():
    text = README.read_text(encoding="utf-8")
    for target in set(re.findall(r"`make ([a-z-]+)`", text)):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
