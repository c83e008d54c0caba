# SPDX-License-Identifier: Apache-2.0
"""What holds for every test: an Airflow home of its own, made before airflow is first imported, no credentials of the
machine, and no connection that leaves it.

pytest loads this file before any test module, in each xdist worker anew, so each worker has its own home and database.
"""

from __future__ import annotations

import atexit
import ipaddress
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

_HOME = tempfile.mkdtemp(prefix="airflow-home-")
_OWNER = os.getpid()
_TESTS = Path(__file__).resolve().parent


def _environment() -> None:
    for name in list(os.environ):
        if name.startswith(("AIRFLOW_", "AWS_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ |= {
        "AIRFLOW_HOME": _HOME,
        "AIRFLOW__AWS__SESSION_FACTORY": "tests.s3_recorder.RecordingSessions",
        "AIRFLOW__CORE__DAGS_FOLDER": f"{_HOME}/dags",  # empty: `dag.test()` parses all of it at each call
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # the default asks the network
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME}/airflow.db",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{_HOME}/logs",
        "AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY": "True",  # Airflow 2 warns at every import without it
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def _remove_home() -> None:
    if os.getpid() == _OWNER:  # not in a child that a test forked
        shutil.rmtree(_HOME, ignore_errors=True)


def _stay_on_this_machine(event: str, args: tuple[Any, ...]) -> None:
    """Audit hook: a connection to anything but loopback fails the test that opens it."""
    if event != "socket.connect" or not isinstance(args[1], tuple):
        return  # something else, or a Unix socket
    host = args[1][0]
    if host in ("", "localhost"):
        return
    try:
        local = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        local = False
    if not local:
        msg = f"a test tried to connect to {host!r}: tests stay on loopback"
        raise RuntimeError(msg)


# A slow machine fails no property; a property that fails prints what replays it.
hypothesis.settings.register_profile(
    "project", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
# Thousands of mutants, each against the same few examples: `make mutants` asks for it on pytest's command line.
hypothesis.settings.register_profile(
    "mutants", parent=hypothesis.settings.get_profile("project"), max_examples=25, derandomize=True, database=None
)
hypothesis.settings.load_profile("project")

_environment()
Path(_HOME, "dags").mkdir()
atexit.register(_remove_home)
sys.addaudithook(_stay_on_this_machine)


# What depends on neither an Airflow nor a library, or is not for its user: one version of them tells as much as all.
_PURE = {
    _TESTS / name
    for name in (
        *("benchmarks", "contract", "core", "crash", "kit", "pipeline", "simulation", "simulator"),
        *("adapters/limits/test_local.py", "adapters/limits/test_redis_processes.py"),
        *("docs/test_design.py", "docs/test_queries.py", "docs/test_site.py", "docs/test_troubleshooting.py"),
        "test_repository.py",
    )
}


# These share what takes long to start and is started once per worker (Airflow's pages, the DAG run that the docs show):
# they run on one worker. xdist's own mark for it has no effect with pytest 9.2, whose node ids are no plain strings.
_ON_ONE_WORKER = (("tests/acceptance/ui/",), ("tests/docs/test_manual.py", "tests/docs/test_readme.py"))


class _Scheduling(LoadScopeScheduling):
    """Test by test, except for those; the largest group begins."""

    def _split_scope(self, nodeid: str) -> str:
        return next((paths[0] for paths in _ON_ONE_WORKER if nodeid.startswith(paths)), nodeid)


@pytest.hookimpl(optionalhook=True)  # there is none without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling | None:
    return _Scheduling(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-pure", action="store_true", help="only what another Airflow or library may change")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """True leaves a path out, None leaves it to the others."""
    return True if config.option.no_pure and collection_path in _PURE else None


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    """The AIRFLOW_HOME of this worker. Imports nothing of airflow."""
    return Path(_HOME)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real S3 of this worker. Tests share it: give each bucket a name of its own."""
    from tests.kit.servers.s3 import seaweedfs

    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def airflow_db(airflow_home: Path) -> Path:
    """A migrated SQLite database; its file. Tests of one worker share it: give each DAG an id of its own."""
    from airflow.utils.db import initdb

    initdb()
    return airflow_home / "airflow.db"


@pytest.fixture(scope="session")
def run_dag(airflow_db: Path) -> Callable[..., Any]:
    """`run_dag(dag, **arguments of dag.test())` runs a DAG that a test made, and returns its DagRun.

    Airflow 2 has another name for `logical_date`.
    From Airflow 3.1 on `dag.test()` knows only DAGs that the DAG folder holds or the database has: put it there first.
    """

    def run(dag: Any, **arguments: Any) -> Any:
        import airflow

        from tests.parsing import store

        version = tuple(map(int, airflow.__version__.split(".")[:2]))
        if version < (3, 0) and "logical_date" in arguments:
            arguments["execution_date"] = arguments.pop("logical_date")
        if version >= (3, 1):
            store(dag, airflow_db.parent / "dags")
        return dag.test(**arguments)

    return run
