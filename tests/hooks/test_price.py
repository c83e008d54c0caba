# SPDX-License-Identifier: Apache-2.0
"""What a call costs, by the connection."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.spend import Price
from airflow_provider_aigen.hooks.aigen import AigenHook


@pytest.fixture
def price(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Price | None]:
    def of(**extra: Any) -> Price | None:
        connection = {"conn_type": "aigen", "password": "a-key-of-nobody", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AIGEN_DEFAULT", json.dumps(connection))
        return AigenHook().price

    return of


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, None),
        ({"price_per_call": None, "currency": "THB"}, None),
        ({"price_per_call": ""}, None),
        ({"price_per_call": 1.5, "currency": "THB"}, Price(1.5, "THB")),
        ({"price_per_call": "1.50", "currency": " THB "}, Price(1.5, "THB")),
        ({"price_per_call": 2}, Price(2.0)),
        ({"price_per_call": 2, "currency": None}, Price(2.0)),
        ({"price_per_call": 0, "currency": "บาท"}, Price(0.0, "บาท")),
    ],
)
def test_the_price_of_the_extras(price, extra, expected):
    assert price(**extra) == expected


def test_nothing_warns_that_the_currency_is_too_short_to_be_masked(price, monkeypatch, caplog):
    for name, module in list(sys.modules.items()):
        if name.endswith(".secrets_masker"):  # it warns once in a process
            monkeypatch.setattr(module.SecretsMasker, "_has_warned_short_secret", False, raising=False)
    assert price(price_per_call=1.5, currency="THB") == Price(1.5, "THB")
    assert "masking" not in caplog.text


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"price_per_call": "cheap"}, "price_per_call"),
        ({"price_per_call": -1}, "price_per_call"),
        ({"price_per_call": True}, "price_per_call"),
        ({"price_per_call": "inf"}, "price_per_call"),
        ({"price_per_call": [1]}, "price_per_call"),
        ({"price_per_call": 10**400}, "price_per_call"),
        ({"price_per_call": 1, "currency": "a whole sentence of it"}, "currency"),
        ({"price_per_call": 1, "currency": 7}, "currency"),
    ],
)
def test_a_wrong_price_is_refused_by_the_name_of_its_field(price, extra, field):
    with pytest.raises(ConfigurationError, match=f"^connection extra {field}: "):
        price(**extra)
