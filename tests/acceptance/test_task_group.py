# SPDX-License-Identifier: Apache-2.0
"""One plan and several tasks: a shard's run is the plan's run. A few times by a real Airflow, else task by task."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import airflow
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_aigen.core.errors import StorageUnavailableError
from airflow_provider_aigen.operators.ocr import AigenOcrOperator
from airflow_provider_aigen.operators.plan import AigenOcrPlanOperator
from airflow_provider_aigen.operators.report import AigenOcrReportOperator
from airflow_provider_aigen.runtime.task import Task
from airflow_provider_aigen.task_groups import AigenOcrTaskGroup
from tests.acceptance.conftest import _MORNING, Lake, _parameters, _stored_xcom
from tests.scans import scan

_NUMBERS = itertools.count()
_OF_A_TRY = {"writers", "tries", "probe.json"}
_AIRFLOW_2 = airflow.__version__.startswith("2.")


def scans(lake: Lake, count: int) -> None:
    for number in range(count):
        lake.put(f"scans/in/plate-{number:02d}.jpg", scan({"model": f"m {number}"}))


def everything(lake: Lake) -> dict[str, bytes]:
    """All that is stored but what each try writes anew."""
    return {key: body for key, body in lake.contents("lake/").items() if not _OF_A_TRY & set(key.split("/"))}


# --- run by Airflow -------------------------------------------------------------------------------------------------


class Group:
    """One DAG run of a group; each :meth:`run` clears all of it."""

    def __init__(self, lake: Lake, run_dag: Callable[..., Any]) -> None:
        self._lake = lake
        self._run_dag = run_dag
        self.dag_id = f"fleet_{next(_NUMBERS)}"

    def run(self, **parameters: Any) -> dict[str, Any]:
        from airflow.providers.common.compat.sdk import DAG

        given = {"shards": 3, "batch_size": 4, "retries": 0, **_parameters(self._lake), **parameters}
        with DAG(self.dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
            AigenOcrTaskGroup("books", **given)
        dates = {"execution_date": _MORNING} if _AIRFLOW_2 else {"logical_date": _MORNING, "run_after": _MORNING}
        done = self._run_dag(dag, **dates)
        return {"run": done.state} | {
            f"{one.task_id.removeprefix('books.')} {one.map_index}": one for one in done.get_task_instances()
        }


@pytest.fixture
def group(lake, connections, run_dag) -> Group:
    return Group(lake, run_dag)


def said(instance: Any) -> Any:
    return instance.xcom_pull(task_ids=instance.task_id, map_indexes=instance.map_index)


def test_a_group_does_what_one_operator_does(group, lake, simulator):
    scans(lake, 20)
    done = group.run()
    shards = [done[f"ocr {number}"] for number in range(3)]
    assert (done["run"], [one.state for one in shards], done["report -1"].state) == (
        "success",
        ["success"] * 3,
        "success",
    )
    assert [one.rendered_map_index for one in shards] == [
        "batches 0-1: 7 documents",
        "batches 1-3: 7 documents",
        "batches 3-4: 6 documents",
    ]
    assert [said(one)["api_calls"] for one in shards] == [7, 7, 6]
    report = said(done["report -1"])
    assert (report["documents"], report["extracted"], report["rows"], report["api_calls"]) == (20, 20, 20, 20)
    assert {said(one)["run_key"] for one in shards} == {report["run_key"]}
    assert simulator.stats()["calls"] == 20
    stored = json.loads(_stored_xcom(group.dag_id))
    assert "plate-" not in json.dumps(stored)
    assert max(len(json.dumps(value)) for _, value in stored) < 1024
    links = {key for key, _ in stored if key.startswith("_link_")}
    assert links == {"_link_AigenReportLink", "_link_AigenDeadLettersLink", "_link_AigenOutputLink"}
    assert sum(key == "_link_AigenOutputLink" for key, _ in stored) == 5


def test_without_documents_nothing_is_mapped_and_the_group_succeeds(group):
    done = group.run()
    assert done["run"] == "success"
    assert {name: one.state for name, one in done.items() if name != "run"} == {
        "plan -1": "success",
        "ocr -1": "skipped",
        "report -1": "success",
    }
    assert said(done["report -1"])["documents"] == 0


def test_the_report_fails_for_a_shard_that_failed(group, lake, simulator, monkeypatch, capfd, caplog):
    scans(lake, 12)
    ocr_shard = Task.ocr_shard

    def fails(task: Task) -> Any:
        if "#1:1-1:" in task.parameters["plan"]:
            raise StorageUnavailableError("S3 is away")
        return ocr_shard(task)

    with monkeypatch.context() as patch:
        patch.setattr(Task, "ocr_shard", fails)
        done = group.run()
    assert (done["run"], done["ocr 1"].state, done["report -1"].state) == ("failed", "failed", "failed")
    log = "".join(capfd.readouterr()) + caplog.text
    assert "4 of 12 planned documents have no outcome, because a task that works on the plan did not succeed" in log
    assert group.run()["run"] == "success"
    assert simulator.stats()["calls"] == 12


# --- task by task ---------------------------------------------------------------------------------------------------


class Instance(SimpleNamespace):
    """A task instance that keeps its XComs."""

    def __init__(self, task_id: str, map_index: int = -1) -> None:
        super().__init__(dag_id="books", task_id=task_id, run_id="one", map_index=map_index, kept={})

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.kept[key] = value


class Tasks:
    """The three tasks of a plan; what they are given may be changed."""

    def __init__(self, lake: Lake) -> None:
        self._given = _parameters(lake)
        self.uri = ""

    def plan(self, **changes: Any) -> list[str]:
        instance = Instance("plan")
        given = {**self._given, "shards": 3, "batch_size": 4, **changes}
        shards = AigenOcrPlanOperator(task_id="plan", **given).execute(_context(instance))
        self.uri = instance.kept["plan"]
        return shards

    def ocr(self, shard: str, **changes: Any) -> dict[str, Any]:
        operator = AigenOcrOperator(task_id="ocr", plan=shard, **self._written() | changes)
        return operator.execute(_context(Instance("ocr", 0)))

    def report(self, **changes: Any) -> dict[str, Any]:
        operator = AigenOcrReportOperator(task_id="report", plan="{{ }}", **self._written() | changes)
        operator.plan = self.uri  # as Airflow renders plan.plan_uri
        return operator.execute(_context(Instance("report")))

    def _written(self) -> dict[str, Any]:
        return {name: self._given[name] for name in ("destination", "dead_letter")}


def _context(instance: Instance) -> Any:
    return {"ti": instance, "logical_date": _MORNING}


@pytest.fixture
def tasks(lake, connections) -> Tasks:
    return Tasks(lake)


def test_each_task_can_be_cleared_by_itself(tasks, lake, simulator):
    scans(lake, 12)
    shards = tasks.plan()
    for shard in shards:
        tasks.ocr(shard)
    said, before = tasks.report(), everything(lake)
    assert tasks.plan() == shards
    assert tasks.ocr(shards[1]) == {"run_key": said["run_key"], "documents": 4, "api_calls": 0, "answers_reused": 0}
    assert tasks.report() == said
    assert simulator.stats()["calls"] == 12
    assert everything(lake) == before
    # New documents are the next run's: a plan that is there is used as it is.
    scans(lake, 15)
    assert tasks.plan() == shards


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"destination": "lake/others/"}, "plan: lies in another state than this task's: give all tasks of a plan"),
        ({"state": "lake/state/"}, "plan: lies in another state than this task's: give all tasks of a plan"),
        ({"dead_letter": "lake/letters/"}, "dead_letter: is another one than the plan's: give all tasks of a plan the"),
        ({"document_type": "idcard/v1"}, "document_type: is another one than the plan's"),
        ({"min_confidence": 0.9}, "min_confidence: is another one than the plan's"),
        ({"partition": "dt=other"}, "partition: is another one than the plan's"),
        ({"copy_image": False}, "copy_image: is another one than the plan's"),
        ({"plan": "#1:0-1:4:"}, "plan: is no shard as AigenOcrPlanOperator returned it"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_shard_that_does_not_fit_is_refused_and_nothing_is_changed(tasks, lake, simulator, changes, sentence):
    scans(lake, 12)
    shard = tasks.plan()[0]
    before = lake.contents("lake/")
    if "plan" in changes:
        shard = shard.replace("#1:0-0:4:", changes.pop("plan"))
    changed = {name: lake.uri(value) if str(value).startswith("lake/") else value for name, value in changes.items()}
    with pytest.raises(AirflowFailException, match=sentence):
        tasks.ocr(shard, **changed)
    assert lake.contents("lake/") == before
    assert simulator.stats()["calls"] == 0


def test_a_shard_whose_plan_is_gone_and_a_report_before_its_plan_are_refused(tasks, lake):
    with pytest.raises(
        AirflowFailException, match="plan: is not there: the task that plans has to succeed in this run"
    ):
        tasks.report()
    scans(lake, 4)
    [shard] = tasks.plan()
    lake.delete("lake/books/_aigen/plans/")
    for refused in (lambda: tasks.ocr(shard), tasks.report):
        with pytest.raises(AirflowFailException, match="plan: is not there any more: clear the task that plans"):
            refused()


def test_a_report_counts_what_is_committed_and_fails_over_the_ratio(tasks, lake, simulator):
    scans(lake, 3)
    lake.put("scans/in/empty.jpg", b"")
    [shard] = tasks.plan()
    tasks.ocr(shard)
    with pytest.raises(AirflowFailException, match=r"1 of 4 documents \(25.0%\) are dead letters"):
        tasks.report(max_dead_letter_ratio=0.1)
    assert tasks.report(max_dead_letter_ratio=0.3)["dead_letter"] == 1
