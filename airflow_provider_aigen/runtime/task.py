# SPDX-License-Identifier: Apache-2.0
"""A running task: its connections, its event loop, and what it leaves in Airflow.

``AigenOperator.execute`` imports this module and no other. All that only a running task needs is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_aigen.core.announcing import News
from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.models import RunReport
from airflow_provider_aigen.core.planning import PlanRequest
from airflow_provider_aigen.core.report import check_dead_letter_ratio, counted
from airflow_provider_aigen.core.shards import PlanAddress, parse_shard, shard_text
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.hooks.aigen import AigenHook
from airflow_provider_aigen.lineage import WriteCounter, collect_hook_lineage
from airflow_provider_aigen.links import AigenDeadLettersLink, AigenOutputLink, AigenReportLink
from airflow_provider_aigen.pipeline import Stop, announce_stage, run
from airflow_provider_aigen.runtime import outlets
from airflow_provider_aigen.runtime.assembly import PortSettings, open_ports
from airflow_provider_aigen.runtime.loop import LoopRunner
from airflow_provider_aigen.runtime.metrics import AirflowMetrics
from airflow_provider_aigen.runtime.observers import Observers
from airflow_provider_aigen.runtime.request import default_partition, plan_request, run_identity
from airflow_provider_aigen.runtime.results import (
    keep_pointers,
    passing_text,
    problem_text,
    report_text,
    return_value,
)
from airflow_provider_aigen.runtime.sent_events import Extras, sent_events
from airflow_provider_aigen.runtime.settings import calling_settings, pipeline_config, port_settings
from airflow_provider_aigen.runtime.shared_plan import check_address, ocr_shard, plan_in_shards, report_plan
from airflow_provider_aigen.runtime.upkeep import (
    erase_documents,
    erase_request,
    preview_redrive,
    rebuild_request,
    rebuild_tables,
    redrive,
    redrive_request,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

__all__ = ["Task", "problem_text"]

T = TypeVar("T")


class Task:
    """A running task of one operator.

    ``parameters`` are the operator's, as they were rendered and checked. ``written`` counts what the task's commits
    have written so far."""

    def __init__(
        self, operator: BaseOperator, parameters: Mapping[str, Any], context: Context, runner: LoopRunner
    ) -> None:
        self.parameters = parameters
        self.written = WriteCounter()
        self._operator = operator
        self._context = context
        self._runner = runner

    def run(self, main: Callable[[Stop], Coroutine[Any, Any, T]]) -> T:
        """Run ``main(stop)`` in the task's event loop and return its result. ``on_kill`` sets the stop."""
        return self._runner.run(main, Stop())

    def ocr(self, config: PipelineConfig | None = None) -> dict[str, Any]:
        """Plan, OCR, commit, report, and return the task's XCom. Raises what stopped the run; a later try goes on from
        there. ``config`` says how patient the run is; None is what the parameters say."""
        request = self._plan_request()
        settings = self._calling(self._port_settings())
        config = config or self.pipeline_config()
        self._begin(settings, request.run.run_key)
        sent = self._sent_events()
        return self._end(settings, *self.run(lambda stop: _run(request, settings, config, stop, sent)))

    def plan(self) -> list[str]:
        """Plan, and return the texts of the plan's shards. The XCom ``plan`` has the plan's URI."""
        request = self._plan_request()
        settings = self._port_settings()
        self._begin(settings, request.run.run_key)
        cut = {"shards": self.parameters["shards"], "batch_size": self.parameters["batch_size"]}
        plan, shards = self.run(lambda stop: plan_in_shards(request, settings, stop, **cut))
        address = PlanAddress(S3Prefix.parse("state", settings.state), plan.run.run_key)
        self._context["ti"].xcom_push(key="plan", value=address.uri)
        self._operator.log.info("Cut the plan into %s", counted(len(shards), "shard"))
        return [shard_text(address, shard) for shard in shards]

    def ocr_shard(self) -> dict[str, Any]:
        """OCR and commit one shard, and return what it cost. Raises what stopped it; a later try goes on from there."""
        address, shard = parse_shard(self.parameters["plan"])
        settings = self._calling(self._port_settings())
        check_address(address, settings.state)
        config = self.pipeline_config()
        self._begin(settings, address.run_key)
        self._keep_link(AigenReportLink, settings, f"{settings.state}reports/{address.run_key}.json")
        self._operator.log.info("This task works on %s of the plan", shard.label)
        counts = self.run(lambda stop: ocr_shard(address, shard, settings, config, self.parameters, stop))
        self._announce(None)  # the report does, for all shards
        return {
            "run_key": address.run_key,
            "documents": shard.documents,
            "api_calls": counts.api_calls,
            "answers_reused": counts.answers_reused,
        }

    def report(self) -> dict[str, Any]:
        """Account for a plan that several tasks worked on, and return the task's XCom, which is that of the run."""
        address = PlanAddress.parse(self.parameters["plan"])
        price = AigenHook(self.parameters["aigen_conn_id"]).price
        settings = replace(self._port_settings(), price=price)
        check_address(address, settings.state)
        self._begin(settings, address.run_key)
        sent = self._sent_events()
        return self._end(settings, *self.run(lambda stop: report_plan(address, settings, self.parameters, stop, sent)))

    def rebuild(self) -> dict[str, int]:
        """Write the tables again, and return the task's XCom."""
        request = rebuild_request(run_identity(self._context), self.parameters)
        settings = self._port_settings()
        keep_pointers(self._context, run_key=request.run_key)
        self._keep_link(AigenOutputLink, settings, self._destination)
        return self.run(lambda stop: rebuild_tables(request, settings, stop))

    def erase(self) -> dict[str, Any]:
        """Erase documents, and return the receipt."""
        request = erase_request(run_identity(self._context), self.parameters)
        settings = self._port_settings()
        self._begin(settings, request.run.run_key)
        receipt = self.run(lambda stop: erase_documents(request, settings, stop))
        self._operator.log.info("Erased: %s", receipt)
        return receipt

    def redrive(self, config: PipelineConfig | None = None) -> dict[str, Any]:
        """Try dead letters again, and return the task's XCom; with ``preview`` only what that would be."""
        request = redrive_request(run_identity(self._context), self.parameters)
        if self.parameters["preview"]:
            settings = replace(self._port_settings(), price=AigenHook(self.parameters["aigen_conn_id"]).price)
            seen = self.run(lambda stop: preview_redrive(request, settings, stop))
            self._operator.log.info("A redrive would try %s again: %s", counted(seen["documents"], "dead letter"), seen)
            return seen
        calling = self._calling(self._port_settings())
        config = config or self.pipeline_config()
        self._begin(calling, request.run.run_key)
        sent = self._sent_events()
        return self._end(calling, *self.run(lambda stop: redrive(request, calling, config, stop, sent)))

    def _begin(self, settings: PortSettings, run_key: str) -> None:
        keep_pointers(self._context, run_key=run_key)
        self._keep_link(AigenOutputLink, settings, self._destination)
        if settings.dead_letter is not None:
            self._keep_link(AigenDeadLettersLink, settings, S3Prefix.parse("dead_letter", settings.dead_letter).uri)

    def _end(self, settings: PortSettings, report: RunReport, uri: str, news: News | None) -> dict[str, Any]:
        keep_pointers(self._context, report=uri)
        self._keep_link(AigenReportLink, settings, uri)
        self._operator.log.info("%s", report_text(report, settings.price))
        if (passing := passing_text(report)) is not None:
            self._operator.log.warning("%s", passing)
        if report.documents and self.parameters.get("source"):
            hook = AigenHook(self.parameters["aigen_conn_id"])
            collect_hook_lineage(hook, self.parameters["source"], self.parameters["destination"])
        check_dead_letter_ratio(report, self.parameters.get("max_dead_letter_ratio"))
        self._announce(news)
        return return_value(report, uri)

    @property
    def _destination(self) -> str:
        return S3Prefix.parse("destination", self.parameters["destination"]).uri

    def _sent_events(self) -> Extras | None:
        return sent_events(self._context, self._operator.outlets, self._destination)

    def _announce(self, news: News | None) -> None:
        """Announce what is new in the tables. Tasks that ran meanwhile may have announced some of it."""
        sent = self._sent_events() if news is not None and news.commits else ()
        announcement = news.announcement(sent or ()) if news is not None else None
        self._operator.outlets = outlets.announce(
            self._operator.outlets, self._context, self._destination, announcement
        )

    def _plan_request(self) -> PlanRequest:
        given = self.parameters
        partition = given["partition"]
        return plan_request(
            run_identity(self._context),
            source=given["source"],
            destination=given["destination"],
            dead_letter=given["dead_letter"],
            document_type=given["document_type"],
            partition=default_partition(self._context) if partition is None else partition,
            batch_size=given["batch_size"],
            max_documents=given["max_documents"],
            min_confidence=given["min_confidence"],
            copy_image=given["copy_image"],
            retry_passing_after_s=given["retry_passing_after"],
            fail_on_empty_source=given["fail_on_empty_source"],
            newest_first=given["newest_first"],
            manifest=given["manifest"],
            record_schema=given["record_schema"],
        )

    def pipeline_config(self) -> PipelineConfig:
        """What the parameters say of how the run works."""
        return pipeline_config(self.parameters)

    def _port_settings(self) -> PortSettings:
        return port_settings(self.parameters)

    def _calling(self, settings: PortSettings) -> PortSettings:
        """The same for a task that calls the endpoint."""
        metrics = AirflowMetrics(
            dag_id=self._operator.dag_id,
            task_id=self._operator.task_id,
            document_type=self.parameters["document_type"],
            map_index=getattr(self._context.get("ti"), "map_index", None),
        )
        return calling_settings(settings, self.parameters, Observers(metrics, self.written))

    def _keep_link(
        self, link: type[AigenOutputLink | AigenDeadLettersLink | AigenReportLink], settings: PortSettings, uri: str
    ) -> None:
        link.persist(self._context, self._operator, settings.client, uri)


async def _run(
    request: PlanRequest, settings: PortSettings, config: PipelineConfig, stop: Stop, sent: Extras | None
) -> tuple[RunReport, str, News | None]:
    async with open_ports(settings) as ports:
        report, uri = await run(request, ports, config=config, stop=stop, price=settings.price)
        news = None if sent is None else await stop.or_result(announce_stage(report.run_key, ports, sent))
        return report, uri, news
