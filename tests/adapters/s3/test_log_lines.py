# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import threading

from airflow_provider_aigen.adapters.s3.log_lines import without_keys

NAMES = ("botocore", "botocore.endpoint", "urllib3", "urllib3.connectionpool", "boto3")


def levels() -> list[int]:
    return [logging.getLogger(name).getEffectiveLevel() for name in NAMES]


def test_loggers_are_raised_for_the_block_and_get_their_levels_back(caplog):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "botocore.endpoint")
    caplog.set_level(logging.CRITICAL, "boto3")
    before = levels()
    with without_keys():
        assert levels() == [logging.INFO, logging.INFO, logging.ERROR, logging.ERROR, logging.CRITICAL]
    assert levels() == before


def test_blocks_of_several_threads_may_overlap(caplog):
    caplog.set_level(logging.DEBUG)
    entered, leave = threading.Event(), threading.Event()

    def block() -> None:
        with without_keys():
            entered.set()
            leave.wait(10)

    before = levels()
    with without_keys():
        thread = threading.Thread(target=block)
        thread.start()
        assert entered.wait(10)
    assert levels()[0] == logging.INFO, "the other one still works"
    leave.set()
    thread.join()
    assert levels() == before
