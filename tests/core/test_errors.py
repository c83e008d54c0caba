# SPDX-License-Identifier: Apache-2.0
"""What an error says to a person, and what it carries for code."""

from __future__ import annotations

import pytest

from airflow_provider_aigen.core.errors import (
    ConfigurationError,
    DocumentRefusedError,
    ObjectUnreadable,
    ServiceUnavailableError,
)


def test_a_configuration_error_names_its_parameter():
    error = ConfigurationError("batch_size", "must be over 0")
    assert (str(error), error.parameter) == ("batch_size: must be over 0", "batch_size")


@pytest.mark.parametrize(("status", "said"), [(400, " (HTTP 400)"), (None, "")])
def test_a_refusal_has_code_and_status(status, said):
    error = DocumentRefusedError("1001", status)
    assert str(error) == f"the document was refused with code 1001{said}"
    assert (error.code, error.status) == ("1001", status)


def test_a_foreign_code_is_not_said_in_clear():
    error = DocumentRefusedError("../a b", 400)
    assert "../a b" not in str(error)
    assert error.code == "../a b"


def test_how_long_the_endpoint_asks_to_be_left_alone():
    assert ServiceUnavailableError("down").retry_after_s is None
    error = ServiceUnavailableError("down", retry_after_s=7.5)
    assert (str(error), error.retry_after_s) == ("down", 7.5)


def test_an_object_that_cannot_be_read_has_a_code():
    error = ObjectUnreadable("archived_object")
    assert (str(error), error.code) == ("the object cannot be read: archived_object", "archived_object")
