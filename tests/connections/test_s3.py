# SPDX-License-Identifier: Apache-2.0
"""The S3 client that Airflow's AWS connection becomes."""

from __future__ import annotations

from airflow_provider_aigen.connections.s3 import s3_client


def test_the_s3_client_takes_the_connections_settings_over_its_own(monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_AWS_DEFAULT",
        '{"conn_type": "aws", "login": "key", "password": "secret", "extra": {"endpoint_url": "http://127.0.0.1:1", '
        '"region_name": "eu-west-1", "config_kwargs": {"read_timeout": 7, "max_pool_connections": 1}}}',
    )
    client = s3_client("aws_default", 40)
    config = client.meta.config
    assert client.meta.endpoint_url == "http://127.0.0.1:1"
    assert client.meta.region_name == "eu-west-1"
    assert (config.read_timeout, config.connect_timeout) == (7, 10)
    assert config.max_pool_connections == 48, "as many as threads call at once"
    assert config.retries["mode"] == "standard"
    assert "Caller/Aigen" in config.user_agent_extra, "without a look through the whole call stack"
