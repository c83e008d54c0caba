# SPDX-License-Identifier: Apache-2.0
"""A real S3, the simulator, and a real Airflow that runs a DAG of one operator between them."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import airflow
import pytest

from airflow_provider_aigen.operators.ocr import AigenOcrOperator
from airflow_provider_aigen.simulator import DEFAULT_KEY, Options, RunningSimulator, running_simulator
from tests.acceptance.quick import QuickOcrOperator
from tests.kit.servers.s3 import S3Server

_NUMBERS = itertools.count()
_AIRFLOW_2 = airflow.__version__.startswith("2.")
_MORNING = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def _simulator() -> Iterator[RunningSimulator]:
    with running_simulator() as running:
        yield running


@pytest.fixture
def simulator(_simulator: RunningSimulator) -> RunningSimulator:
    """As it came up: all options at their defaults, nothing called."""
    defaults = Options().shown()
    fixed = {"host", "port", "keys", "forbidden_keys"}
    _simulator.control(**{name: value for name, value in defaults.items() if name not in fixed})
    _simulator.reset()
    return _simulator


class Lake:
    """The buckets ``scans`` and ``lake`` of one test, by their short names."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._number = next(_NUMBERS)
        for name in ("scans", "lake"):
            client.create_bucket(Bucket=self.bucket(name))

    def bucket(self, name: str) -> str:
        return f"{name}-{self._number}"

    def uri(self, path: str) -> str:
        """``scans/in/`` → the URI of it."""
        name, _, key = path.partition("/")
        return f"s3://{self.bucket(name)}/{key}"

    def put(self, path: str, body: bytes) -> None:
        name, _, key = path.partition("/")
        self.client.put_object(Bucket=self.bucket(name), Key=key, Body=body)

    def read(self, path: str) -> bytes:
        name, _, key = path.partition("/")
        body: bytes = self.client.get_object(Bucket=self.bucket(name), Key=key)["Body"].read()
        return body

    def keys(self, path: str) -> list[str]:
        """Keys under it, without it."""
        name, _, prefix = path.partition("/")
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket(name), Prefix=prefix)
        return [item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", ())]

    def delete(self, path: str, suffix: str = "") -> None:
        name, _, prefix = path.partition("/")
        for key in self.keys(path):
            if key.endswith(suffix):
                self.client.delete_object(Bucket=self.bucket(name), Key=prefix + key)

    def contents(self, path: str) -> dict[str, bytes]:
        return {key: self.read(path + key) for key in self.keys(path)}


@pytest.fixture
def lake(s3_server: S3Server) -> Lake:
    return Lake(s3_server.client())


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch, s3_server: S3Server, simulator: RunningSimulator) -> Connections:
    made = Connections(monkeypatch)
    made.aigen(simulator.url)
    made.aws(s3_server)
    return made


class Connections:
    """The two connections, as environment variables; call again to change one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def aigen(self, host: str, password: str = DEFAULT_KEY, **extra: Any) -> None:
        given = {"allow_http": True, "requests_per_second": 400, **extra}
        connection = {"conn_type": "aigen", "host": host, "password": password, "extra": given}
        self._monkeypatch.setenv("AIRFLOW_CONN_AIGEN_DEFAULT", json.dumps(connection))

    def aws(self, server: S3Server, **extra: Any) -> None:
        self._monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", server.airflow_connection(**extra))


@dataclass
class Ran:
    """One DAG run: its state, the task's XCom as it is stored, everything that was logged, what failed each try."""

    state: str
    xcom: dict[str, Any]
    stored_xcom: str
    log: str = field(repr=False)
    errors: list[BaseException] = field(default_factory=list)


class _WatchedOcrOperator(QuickOcrOperator):
    """Keeps what it raises: before Airflow 3.3, ``dag.test()`` of Airflow 3 calls back with no exception."""

    def __init__(self, *, raised: list[BaseException], **parameters: Any) -> None:
        super().__init__(**parameters)
        self.raised = raised

    def execute(self, context: Any) -> Any:
        try:
            return super().execute(context)
        except BaseException as error:
            self.raised.append(error)
            raise


@pytest.fixture
def run_ocr(
    run_dag: Callable[..., Any],
    lake: Lake,
    connections: Connections,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., Ran]:
    """``run_ocr(hour=0, **parameters)`` runs the DAG; the same hour again clears the run and runs it once more."""
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, "airflow_provider_aigen")
    dag_id = f"books_{next(_NUMBERS)}"

    def run(hour: int = 0, **parameters: Any) -> Ran:
        from airflow.providers.common.compat.sdk import DAG

        errors: list[BaseException] = []
        with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
            _WatchedOcrOperator(task_id="ocr", raised=errors, **_parameters(lake) | parameters)
        moment = _MORNING + timedelta(hours=hour)
        capfd.readouterr()
        caplog.clear()
        dates = {"execution_date": moment} if _AIRFLOW_2 else {"logical_date": moment, "run_after": moment}
        done = run_dag(dag, **dates)
        instance = done.get_task_instance("ocr")
        xcom = instance.xcom_pull(task_ids="ocr")
        log = _without_requests_to_mask("".join(capfd.readouterr()) + caplog.text)
        return Ran(done.state, xcom, _stored_xcom(dag_id), log, errors)

    return run


@pytest.fixture
def execute(lake: Lake, connections: Connections) -> Callable[..., dict[str, Any]]:
    """``execute(run_id="one", **parameters)`` runs the operator without Airflow's machinery around it."""

    def run(
        run_id: str = "one", operator: type[AigenOcrOperator] = QuickOcrOperator, **parameters: Any
    ) -> dict[str, Any]:
        made = operator(task_id="ocr", **_parameters(lake) | parameters)
        instance = SimpleNamespace(dag_id="books", task_id="ocr", run_id=run_id, map_index=-1)
        context: Any = {"ti": instance, "logical_date": _MORNING}
        return made.execute(context)

    return run


def _parameters(lake: Lake) -> dict[str, Any]:
    return {
        "source": lake.uri("scans/in/"),
        "destination": lake.uri("lake/books/"),
        "dead_letter": lake.uri("lake/dead/"),
    }


def _without_requests_to_mask(log: str) -> str:
    """Airflow 3.0 tells its debug log, with the secret, that it asks for the secret to be masked."""
    if not airflow.__version__.startswith("3.0."):
        return log
    return "".join(line for line in log.splitlines(keepends=True) if "MaskSecret(value=" not in line)


def _stored_xcom(dag_id: str) -> str:
    if _AIRFLOW_2:
        from airflow.models.xcom import BaseXCom as XComModel
    else:
        from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        rows = session.scalars(select(XComModel).where(XComModel.dag_id == dag_id)).all()
        return json.dumps([[row.key, row.value] for row in rows], ensure_ascii=False, default=str)
