# SPDX-License-Identifier: Apache-2.0
"""Settings are right or refused when they are made, and the refusal names the parameter, never the key."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from airflow_provider_aigen.core.config import EndpointConfig, PipelineConfig, RetryConfig
from airflow_provider_aigen.core.errors import ConfigurationError

KEY = "k3y-of-8+"
HTTPS = "https://ocr.example"


def refusal(check, *arguments, **named) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        check(*arguments, **named)
    return caught.value


def test_the_url_of_an_endpoint():
    assert EndpointConfig(HTTPS, KEY).url == f"{HTTPS}/aiscript/vehicle-registration-book/v2"
    assert EndpointConfig(f"{HTTPS}/base//", KEY, "id-card/v1").url == f"{HTTPS}/base/aiscript/id-card/v1"


def test_the_key_is_not_shown():
    assert KEY not in repr(EndpointConfig(HTTPS, KEY))


@pytest.mark.parametrize("name", ["timeout_s", "connect_timeout_s", "max_response_bytes"])
def test_limits_of_a_call_are_over_zero(name):
    error = refusal(EndpointConfig, HTTPS, KEY, **{name: 0})
    assert error.parameter == name
    assert str(error).startswith(f"{name}: ")


def test_a_size_in_bytes_is_a_whole_number():
    assert refusal(EndpointConfig, HTTPS, KEY, max_response_bytes=1.5).parameter == "max_response_bytes"
    EndpointConfig(HTTPS, KEY, timeout_s=1.5, connect_timeout_s=1.5)


def test_the_document_type_is_checked():
    assert refusal(EndpointConfig, HTTPS, KEY, "book").parameter == "document_type"


@pytest.mark.parametrize("key", [None, "", 12345678])
def test_a_key_has_to_be_there(key):
    error = refusal(EndpointConfig, HTTPS, key)
    assert error.parameter == "password"
    assert "has no API key" in str(error)


@pytest.mark.parametrize("key", ["1234567", "กุญแจของฉัน", "1234\x0056789", "12345678\n"])
def test_a_key_is_printable_ascii_and_long_enough(key):
    error = refusal(EndpointConfig, HTTPS, key)
    assert error.parameter == "password"
    assert "at least 8 printable ASCII characters" in str(error)
    assert key not in str(error)


def test_a_key_of_eight_characters_is_long_enough():
    assert EndpointConfig(HTTPS, "12345678").api_key == "12345678"


@pytest.mark.parametrize("key", [f" {KEY}", f"{KEY} "])
def test_a_key_has_no_space_around_it(key):
    error = refusal(EndpointConfig, HTTPS, key)
    assert error.parameter == "password"
    assert "begins or ends with a space" in str(error)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://ocr.example", "must be https"),
        ("https://user@ocr.example", "user name or password"),
        ("https://:secret@ocr.example", "user name or password"),
        ("https://ocr.example:port", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("ftp://ocr.example", "must be a URL such as https://"),
        ("ocr.example", "must be a URL such as https://"),
        ("https://", "must be a URL such as https://"),
        ("https://ocr.example?a=b", "without a query or a fragment"),
        ("https://ocr.example#part", "without a query or a fragment"),
    ],
)
def test_a_host_that_is_no_base_url_is_refused(url, said):
    error = refusal(EndpointConfig, url, KEY)
    assert error.parameter == "host"
    assert said in str(error)
    assert "secret" not in str(error)


def test_plain_http_is_for_those_who_ask_for_it():
    assert EndpointConfig("http://127.0.0.1:8080", KEY, allow_http=True).url.startswith(
        "http://127.0.0.1:8080/aiscript/"
    )
    assert refusal(EndpointConfig, "ftp://ocr.example", KEY, allow_http=True).parameter == "host"


@pytest.mark.parametrize("name", ["backoff_base_s", "backoff_cap_s", "document_deadline_s"])
@pytest.mark.parametrize("value", [0, math.inf])
def test_times_of_retries_are_over_zero(name, value):
    assert refusal(RetryConfig, **{name: value}).parameter == name


@pytest.mark.parametrize("name", ["max_in_flight", "grace_s", "progress_s", "passing_rounds"])
def test_settings_of_a_task_are_over_zero(name):
    assert refusal(PipelineConfig, **{name: 0}).parameter == name


def test_so_many_in_flight_is_a_whole_number():
    assert refusal(PipelineConfig, max_in_flight=1.5).parameter == "max_in_flight"
    PipelineConfig(max_in_flight=1, grace_s=0.5, progress_s=0.5)


def test_so_many_rounds_are_a_whole_number():
    assert refusal(PipelineConfig, passing_rounds=1.5).parameter == "passing_rounds"


@pytest.mark.parametrize("ratio", [-0.1, 1.1, True, math.nan])
def test_the_share_of_repeated_calls_is_a_ratio(ratio):
    assert refusal(PipelineConfig, max_repeat_ratio=ratio).parameter == "max_repeat_ratio"
    PipelineConfig(max_repeat_ratio=0)
    PipelineConfig(max_repeat_ratio=1)


def test_a_fifth_may_be_repeated_and_three_rounds_make_a_dead_letter_final():
    assert (PipelineConfig().max_repeat_ratio, PipelineConfig().passing_rounds) == (0.2, 3)


# --- whose limit it is --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"document_type": "idcard/v1"},
        {"base_url": "https://OCR.example.org/"},
        {"base_url": "https://ocr.example.org:443/api"},
        {"timeout_s": 5.0},
    ],
    ids=lambda value: next(iter(value.items())),
)
def test_one_key_at_one_host_has_one_limit(other):
    assert limit_name(**other) == limit_name()


@pytest.mark.parametrize(
    "other",
    [
        {"api_key": "a-key-of-nobodz"},
        {"base_url": "https://other.example.org"},
        {"base_url": "https://ocr.example.org:8443"},
        {"base_url": "http://ocr.example.org", "allow_http": True},
    ],
    ids=lambda value: next(iter(value.items())),
)
def test_another_key_or_host_has_another_limit(other):
    assert limit_name(**other) != limit_name()


def test_the_name_of_a_limit_holds_neither_key_nor_host():
    assert re.fullmatch(r"[0-9a-f]{32}", limit_name())


def limit_name(**changes: Any) -> str:
    given = {"base_url": "https://ocr.example.org", "api_key": "a-key-of-nobody"}
    return EndpointConfig(**given | changes).limit_name
