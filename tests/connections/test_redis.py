# SPDX-License-Identifier: Apache-2.0
"""Airflow's Redis connection, as its own provider reads it."""

from __future__ import annotations

import json

import pytest

from airflow_provider_aigen.adapters.limits.redis_client import RedisSettings
from airflow_provider_aigen.connections.redis import redis_settings
from airflow_provider_aigen.core.errors import ConfigurationError


@pytest.fixture
def settings(monkeypatch):
    def look_up(connection):
        text = connection if isinstance(connection, str) else json.dumps({"conn_type": "redis"} | connection)
        monkeypatch.setenv("AIRFLOW_CONN_REDIS_TEST", text)
        return redis_settings("redis_test")

    return look_up


def test_a_host_is_enough(settings):
    assert settings({"host": "cache"}) == RedisSettings("cache")


def test_everything_that_the_form_has(settings):
    extra = {
        "db": 2,
        "ssl": True,
        "ssl_cert_reqs": "required",
        "ssl_ca_certs": "ca.pem",
        "ssl_keyfile": "key.pem",
        "ssl_cert_file": "cert.pem",
        "ssl_check_hostname": "false",
    }
    got = settings({"host": "cache", "port": 6380, "login": "ocr", "password": "hidden", "extra": extra})
    assert got == RedisSettings(
        "cache",
        6380,
        2,
        "ocr",
        "hidden",
        {
            "ssl_cert_reqs": "required",
            "ssl_ca_certs": "ca.pem",
            "ssl_keyfile": "key.pem",
            "ssl_certfile": "cert.pem",
            "ssl_check_hostname": False,
        },
    )
    assert "hidden" not in repr(got)


@pytest.mark.parametrize(
    ("uri", "db", "tls"),
    [
        ("redis://:pass@cache:6379/3", 3, None),
        ("redis://:pass@cache:6379/?db=4&ssl=true", 4, {}),
        ("redis://:pass@cache:6379/3?db=4&ssl=False&ssl_cert_reqs=none", 4, None),
    ],
)
def test_a_uri_gives_text(settings, uri, db, tls):
    assert settings(uri) == RedisSettings("cache", 6379, db, None, "pass", tls)


@pytest.mark.parametrize(
    ("connection", "problem"),
    [
        ({}, "no host"),
        ({"host": "cache", "extra": {"db": "first"}}, "db must be a whole number"),
        ({"host": "cache", "extra": {"db": -1}}, "db must be a whole number"),
        ({"host": "cache", "extra": {"ssl": "perhaps"}}, "ssl must be true or false"),
    ],
)
def test_what_cannot_be_a_redis_is_refused(settings, connection, problem):
    with pytest.raises(ConfigurationError, match=f"redis_conn_id: .*{problem}"):
        settings(connection)
