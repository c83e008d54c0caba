# SPDX-License-Identifier: Apache-2.0
"""What a task tells of its run."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from airflow_provider_aigen.core.errors import AccountError, AuthenticationError, ContractError
from airflow_provider_aigen.core.models import RunReport
from airflow_provider_aigen.core.spend import Price, RunSpend
from airflow_provider_aigen.runtime.results import keep_pointers, passing_text, problem_text, report_text, return_value

REPORT = RunReport(
    "key", 10, 6, 1, 2, 1, 40, 2, {"1001": 2, "no_content": 1}, api_calls=9, answers_reused=3, paid_calls=8
)
RETRIED = RunReport("key", 1, 1, 0, 0, 0, 4, 1, {}, api_calls=2, billed_retries=1, paid_calls=2)


def test_the_return_value_has_exactly_these_keys():
    result = return_value(REPORT, "s3://lake/report.json")
    assert list(result) == [
        "run_key",
        "documents",
        "extracted",
        "partial",
        "dead_letter",
        "gone",
        "api_calls",
        "answers_reused",
        "rows",
        "commits",
        "error_codes",
        "passing",
        "report",
    ]
    assert json.loads(json.dumps(result)) == result


def test_the_run_in_a_sentence():
    counts = (
        "10 documents: 6 extracted, 1 partial, 2 dead letters, 1 gone; 9 calls, 3 answers reused, "
        "40 rows in 2 commits; codes: 1001=2, no_content=1"
    )
    assert report_text(REPORT) == counts
    assert report_text(REPORT, Price(1.5, "THB")) == f"{counts}; paid 12.00 THB for 8 calls; reuse saved 4.50 THB"


@pytest.mark.parametrize(
    ("spend", "text"),
    [
        (None, ""),
        (RunSpend(1, 9, 8, 0, 3, 0.0, "THB", 12.0, 4.5, 0.0), ""),
        (
            RunSpend(3, 1064, 64, 0, 3, 0.0, "THB", 1596.0, 4.5, 0.0),
            "; the whole run, in 3 tries: 1064 calls, paid 1,596.00 THB",
        ),
        (RunSpend(3, 1064, 64, 0, 3, 0.0, "USD", 1.0, 4.5, 0.0), "; the whole run, in 3 tries: 1064 calls"),
        (RunSpend(3, 1064, 64), "; the whole run, in 3 tries: 1064 calls"),
    ],
)
def test_what_earlier_tries_spent_is_said_too(spend, text):
    report = replace(REPORT, spend=spend)
    assert report_text(report, Price(1.5, "THB")) == report_text(REPORT, Price(1.5, "THB")) + text


def test_dead_letters_that_may_pass_in_a_sentence():
    assert passing_text(REPORT) is None
    assert passing_text(replace(REPORT, passing={"service_error": 2, "http_413": 1})) == (
        "3 dead letters may pass and will be tried again by later runs (service_error=2, http_413=1)"
    )
    assert passing_text(replace(REPORT, healed=1, final=2)) == (
        "1 dead letter of earlier runs extracted now and removed; "
        "2 dead letters tried often enough: final, no run tries again by itself"
    )
    assert return_value(replace(REPORT, passing={"a": 2, "b": 1}), "uri")["passing"] == 3


def test_one_of_a_thing_is_no_plural():
    one = replace(REPORT, documents=1, dead_letter=1, api_calls=1, answers_reused=1, rows=1, commits=1)
    assert report_text(one).startswith(
        "1 document: 6 extracted, 1 partial, 1 dead letter, 1 gone; 1 call, 1 answer reused, 1 row in 1 commit; "
    )


@pytest.mark.parametrize("kind", [AccountError, AuthenticationError])
def test_a_problem_of_the_key_or_its_account_names_the_connection(kind):
    assert problem_text(kind("HTTP 401"), "aigen_north") == "HTTP 401 (AIGEN connection aigen_north)"
    assert problem_text(ContractError("codes"), "aigen_north") == "codes"


def test_what_may_have_been_paid_twice_is_said_with_and_without_a_price():
    assert report_text(RETRIED).endswith("codes: none; 1 call perhaps billed twice")
    assert "paid 3.00 THB for 2 calls, of it at most 1.50 THB twice; reuse" in report_text(RETRIED, Price(1.5, "THB"))


class Store(dict):
    """Of Airflow's task state, as far as a pointer goes."""

    def set(self, key: str, value: str) -> None:
        self[key] = value


def test_pointers_go_into_the_tasks_state_where_there_is_one():
    store = Store()
    keep_pointers({"task_state_store": store}, run_key="key")
    keep_pointers({"task_state_store": store}, report="s3://lake/report.json")
    assert store == {"run_key": "key", "report": "s3://lake/report.json"}


def test_without_one_nothing_happens():
    keep_pointers({}, run_key="key")
    keep_pointers({"task_state_store": None}, run_key="key")


def test_a_pointer_that_cannot_be_set_fails_nothing():
    class Broken:
        def set(self, key: str, value: str) -> None:
            raise RuntimeError

    keep_pointers({"task_state_store": Broken()}, run_key="key", report="uri")
