# SPDX-License-Identifier: Apache-2.0
"""What a task reports to Airflow: its return value, a line in the log, and pointers in its state store."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_aigen.core.errors import AccountError, AuthenticationError
from airflow_provider_aigen.core.report import codes_text, counted

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_aigen.core.models import RunReport
    from airflow_provider_aigen.core.spend import Price

__all__ = ["keep_pointers", "passing_text", "problem_text", "report_text", "return_value"]

log = logging.getLogger(__name__)


def return_value(report: RunReport, uri: str) -> dict[str, Any]:
    """The task's XCom (design §1): counts and a URI. It is small, and has no key or value of any document."""
    return {
        "run_key": report.run_key,
        "documents": report.documents,
        "extracted": report.extracted,
        "partial": report.partial,
        "dead_letter": report.dead_letter,
        "gone": report.gone,
        "api_calls": report.api_calls,
        "answers_reused": report.answers_reused,
        "rows": report.rows,
        "commits": report.commits,
        "error_codes": dict(report.error_codes),
        "passing": sum(report.passing.values()),
        "report": uri,
    }


def report_text(report: RunReport, price: Price | None = None) -> str:
    """The run in one sentence, with the cost of this try if there is a ``price``, and with what earlier tries cost."""
    skipped = f"{counted(report.skipped, 'object')} skipped as no documents; " if report.skipped else ""
    counts = (
        f"{counted(report.documents, 'document')}: {report.extracted} extracted, {report.partial} partial, "
        f"{counted(report.dead_letter, 'dead letter')}, {report.gone} gone; {skipped}"
        f"{counted(report.api_calls, 'call')}, {counted(report.answers_reused, 'answer')} reused, "
        f"{counted(report.rows, 'row')} in {counted(report.commits, 'commit')}; "
        f"codes: {codes_text(report.error_codes) or 'none'}"
    )
    if price is None:
        twice = f"; {counted(report.billed_retries, 'call')} perhaps billed twice" if report.billed_retries else ""
        return counts + twice + _whole_run(report, price)
    twice = f", of it at most {price.text(report.billed_retries)} twice" if report.billed_retries else ""
    return (
        f"{counts}; paid {price.text(report.paid_calls)} for {counted(report.paid_calls, 'call')}{twice}; "
        f"reuse saved {price.text(report.answers_reused)}" + _whole_run(report, price)
    )


def _whole_run(report: RunReport, price: Price | None) -> str:
    spend = report.spend
    if spend is None or spend.calls == report.api_calls:
        return ""
    paid = ""
    if price is not None and spend.paid is not None and spend.currency == price.currency:
        paid = f", paid {price.amount_text(spend.paid)}"
    return f"; the whole run, in {counted(spend.tries, 'try', 'tries')}: {counted(spend.calls, 'call')}{paid}"


def passing_text(report: RunReport) -> str | None:
    """A sentence about dead letters that later runs try again, or tried; None where there is none."""
    facts = []
    if report.passing:
        count = counted(sum(report.passing.values()), "dead letter")
        facts.append(f"{count} may pass and will be tried again by later runs ({codes_text(report.passing)})")
    if report.healed:
        facts.append(f"{counted(report.healed, 'dead letter')} of earlier runs extracted now and removed")
    if report.final:
        facts.append(f"{counted(report.final, 'dead letter')} tried often enough: final, no run tries again by itself")
    return "; ".join(facts) or None


def problem_text(error: Exception, aigen_conn_id: str | None) -> str:
    """The error's own sentence, with the connection's name if it is about that connection's key or account."""
    is_about_the_key = aigen_conn_id is not None and isinstance(error, (AccountError, AuthenticationError))
    return f"{error} (AIGEN connection {aigen_conn_id})" if is_about_the_key else str(error)


def keep_pointers(context: Context, **pointers: str) -> None:
    """Put pointers into the task's state store, which the UI shows and a retry keeps. It exists from Airflow 3.3 on.

    Nothing reads the pointers, because the run's state is on S3: if one can't be set, the task goes on. Never call this
    while the event loop runs (design §7)."""
    store: Any = context.get("task_state_store")
    if store is None:
        return
    for name, value in pointers.items():
        try:
            store.set(name, value)
        except Exception as error:  # noqa: BLE001 - whatever the API server answers
            log.debug("The pointer %s was not set: %s", name, type(error).__name__)
            return
