# SPDX-License-Identifier: Apache-2.0
"""The commands that change something: ``redrive``, ``rebuild``, ``erase``. Each does what the operator of its name
does, with that operator's parameters and their checks."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from airflow_provider_aigen.cli.output import say, showing_facts
from airflow_provider_aigen.cli.process import Refused, WrongArgument, ask, checked, command, in_loop, seconds
from airflow_provider_aigen.core.errors import TransientError
from airflow_provider_aigen.core.models import RunIdentity
from airflow_provider_aigen.core.report import codes_text, counted
from airflow_provider_aigen.core.spend import Price
from airflow_provider_aigen.hooks.aigen import AigenHook
from airflow_provider_aigen.operators.base import AigenOperator
from airflow_provider_aigen.operators.dead_letter import AigenDeadLetterRedriveOperator
from airflow_provider_aigen.operators.erase import AigenEraseOperator
from airflow_provider_aigen.operators.tables import AigenRebuildTablesOperator
from airflow_provider_aigen.ports import NoObserver
from airflow_provider_aigen.runtime.results import return_value
from airflow_provider_aigen.runtime.settings import calling_settings, pipeline_config, port_settings
from airflow_provider_aigen.runtime.upkeep import (
    erase_documents,
    erase_request,
    preview_redrive,
    rebuild_request,
    rebuild_tables,
    redrive_request,
)
from airflow_provider_aigen.runtime.upkeep import redrive as redrive_documents

__all__ = ["erase", "rebuild", "redrive"]

T = TypeVar("T")

# What stands for the DAG in the state and in the table `runs`.
_DAG_ID = "command_line"


@command
def redrive(args: Namespace) -> Callable[[], None]:
    """Try dead letters again: ``airflow aigen redrive``."""
    given = _parameters(
        AigenDeadLetterRedriveOperator,
        args,
        dead_letter=args.dead_letter,
        error_codes=args.error_code,
        older_than=seconds("older_than", args.older_than),
        **_named(
            args,
            "max_documents",
            "max_spend",
            "document_type",
            "aigen_conn_id",
            "requests_per_second",
            "limit_shared_by",
            "redis_conn_id",
        ),
        preview=args.preview,
    )
    price = AigenHook(given["aigen_conn_id"]).price
    settings = replace(port_settings(given), price=price)
    request = redrive_request(_run("redrive", args), given)
    seen = in_loop(lambda stop: preview_redrive(request, settings, stop))
    if args.preview:
        return showing_facts(args.output, seen)
    if args.run_id is not None:  # an earlier command of this name may have planned what is no letter any more
        say(f"The run {args.run_id} goes on with the dead letters that it chose when it began. If it has not begun:")
    elif not seen["documents"]:
        say("There is no such dead letter.")
        return showing_facts(args.output, seen)
    say(_price_text(seen, price))
    ask("The redrive calls the endpoint.", yes=args.yes)
    calling = calling_settings(settings, given, NoObserver())
    report, uri, _ = _going_on(
        request.run,
        lambda: in_loop(lambda stop: redrive_documents(request, calling, pipeline_config(given), stop, None)),
    )
    return showing_facts(args.output, return_value(report, uri))


@command
def rebuild(args: Namespace) -> Callable[[], None]:
    """Write the tables again: ``airflow aigen rebuild``."""
    tables = {} if args.tables is None else {"tables": [name.strip() for name in args.tables.split(",")]}
    given = _parameters(
        AigenRebuildTablesOperator,
        args,
        **_named(args, "since", "min_confidence"),
        **tables,
        record_schema=_schema(args.record_schema),
        compact=not args.no_compact,
    )
    settings = port_settings(given)
    run = _run("rebuild", args)
    request = rebuild_request(run, given)
    names = ", ".join(given["tables"])
    merging = ", and makes one part of the small parts of a partition" if given["compact"] else ""
    ask(f"The rebuild writes the tables {names} again{merging}. It calls nothing.", yes=args.yes)
    counts = _going_on(run, lambda: in_loop(lambda stop: rebuild_tables(request, settings, stop)))
    return showing_facts(args.output, counts)


@command
def erase(args: Namespace) -> Callable[[], None]:
    """Erase documents: ``airflow aigen erase``."""
    given = _parameters(
        AigenEraseOperator,
        args,
        dead_letter=args.dead_letter,
        source_uris=args.source_uri,
        document_ids=args.document_id,
        delete_source=args.delete_source,
    )
    settings = port_settings(given)
    run = _run("erase", args)
    request = erase_request(run, given)
    ask(f"The erasure removes {_what(given)} for good, in every version of the objects.", yes=args.yes)
    receipt = _going_on(run, lambda: in_loop(lambda stop: erase_documents(request, settings, stop)))
    return showing_facts(args.output, receipt)


def _parameters(operator: type[AigenOperator], args: Namespace, **others: Any) -> dict[str, Any]:
    """The operator's parameters, checked as those of a task are."""
    names = ("destination", "aws_conn_id", "state", "expected_bucket_owner", "sse_kms_key_id")
    given = {**_named(args, *names), **others}
    return checked(lambda: operator(task_id=_DAG_ID, **given).checked_parameters())


def _named(args: Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(args, name) for name in names}


def _run(task_id: str, args: Namespace) -> RunIdentity:
    """Two commands are two runs, unless they are given one name."""
    run_id = args.run_id or f"manual__{datetime.now(UTC).isoformat()}"
    return RunIdentity(_DAG_ID, task_id, run_id)


def _going_on(run: RunIdentity, work: Callable[[], T]) -> T:
    """Do the work; where it is stopped, or the service or S3 fails, say how it goes on."""
    try:
        return work()
    except (TransientError, Refused):
        say(f"The same command with --run-id {run.run_id} goes on where this one stopped.")
        raise


def _schema(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text, object_pairs_hook=_each_once)
    except ValueError:
        raise WrongArgument('--record-schema: must be JSON such as {"total": "decimal"}, each field once') from None


def _each_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON takes the last of two members with one name."""
    found = dict(members)
    if len(found) < len(members):
        raise ValueError
    return found


def _price_text(seen: dict[str, Any], price: Price | None) -> str:
    letters = counted(seen["documents"], "dead letter")
    costs = "the AIGEN connection names no price" if price is None else f"{price.text(seen['documents'])} at most"
    return f"{letters} ({codes_text(seen['error_codes']) or 'none'}), each of them a call: {costs}."


def _what(given: dict[str, Any]) -> str:
    """No URI is shown: one may hold a person's name."""
    if given["document_ids"]:
        what = counted(len(given["document_ids"]), "document")
    else:
        what = f"all documents that were read under {counted(len(given['source_uris']), 'source URI')}"
    return f"{what}, and the source objects," if given["delete_source"] else what
