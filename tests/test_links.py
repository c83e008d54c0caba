# SPDX-License-Identifier: Apache-2.0
"""Where a button leads to, for each kind of endpoint that boto3 knows, and what keeps it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen import links
from airflow_provider_aigen.get_provider_info import get_provider_info
from airflow_provider_aigen.links import AigenDeadLettersLink, AigenOutputLink, AigenReportLink, s3_url
from airflow_provider_aigen.operators.ocr import AigenOcrOperator

KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
PREFIX = "s3://lake/vehicle_registration/"
OBJECT = "s3://lake/vehicle_registration/_aigen/reports/5f0c.json"
OWN = {"endpoint_url": "http://127.0.0.1:8333", "region": "us-east-1", "partition": "aws"}
AWS = {"endpoint_url": "https://s3.ap-southeast-1.amazonaws.com", "region": "ap-southeast-1", "partition": "aws"}


def of(uri: str, region: str, endpoint_url: str | None = None) -> str:
    """As the link of a task whose AWS connection is this."""
    meta = boto3.client("s3", region_name=region, endpoint_url=endpoint_url, **KEYS).meta
    return s3_url(uri, endpoint_url=meta.endpoint_url, region=meta.region_name, partition=meta.partition)


@pytest.mark.parametrize(
    ("region", "console"),
    [
        ("ap-southeast-1", "https://console.aws.amazon.com"),
        ("us-east-1", "https://console.aws.amazon.com"),
        ("cn-north-1", "https://console.amazonaws.cn"),
        ("us-gov-west-1", "https://console.amazonaws-us-gov.com"),
    ],
)
def test_amazon_s3_has_the_console_of_its_partition(region, console):
    assert of(PREFIX, region) == f"{console}/s3/buckets/lake?region={region}&prefix=vehicle_registration/"
    assert of(OBJECT, region) == (
        f"{console}/s3/object/lake?region={region}&prefix=vehicle_registration/_aigen/reports/5f0c.json"
    )


def test_a_region_that_is_not_known_is_left_to_the_console():
    assert of(PREFIX, "aws-global") == "https://console.aws.amazon.com/s3/buckets/lake?prefix=vehicle_registration/"


def test_a_partition_without_a_public_console_has_no_link():
    assert s3_url(PREFIX, **AWS | {"partition": "aws-iso"}) == ""


@pytest.mark.parametrize(
    "endpoint_url",
    [
        "https://bucket.vpce-0a1b2c3d-example.s3.eu-west-1.vpce.amazonaws.com",
        "https://s3.dualstack.eu-west-1.amazonaws.com",
        "https://s3-fips.us-east-1.amazonaws.com",
    ],
)
def test_an_endpoint_of_amazon_that_the_connection_names_is_amazon(endpoint_url):
    assert of(PREFIX, "eu-west-1", endpoint_url).startswith("https://console.aws.amazon.com/s3/buckets/lake?")


@pytest.mark.parametrize(
    ("endpoint_url", "server"),
    [
        ("http://127.0.0.1:8333", "http://127.0.0.1:8333"),
        ("https://minio.example.org/", "https://minio.example.org"),
        ("https://gateway.example.org/s3/", "https://gateway.example.org/s3"),
        ("https://someone:hunter2@minio.example.org:9000", "https://minio.example.org:9000"),
        ("https://notamazonaws.com", "https://notamazonaws.com"),
    ],
)
def test_any_other_endpoint_has_its_own_url(endpoint_url, server):
    assert of(PREFIX, "us-east-1", endpoint_url) == (
        f"{server}/lake?list-type=2&delimiter=/&prefix=vehicle_registration/"
    )
    assert of(OBJECT, "us-east-1", endpoint_url) == f"{server}/lake/vehicle_registration/_aigen/reports/5f0c.json"


def test_a_whole_bucket_is_a_prefix():
    assert s3_url("s3://lake/", **AWS) == "https://console.aws.amazon.com/s3/buckets/lake?region=ap-southeast-1"
    assert s3_url("s3://lake/", **OWN) == "http://127.0.0.1:8333/lake?list-type=2&delimiter=/"


@given(key=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_every_key_comes_back_out_of_its_url(key):
    uri = f"s3://lake/{key}"
    for url in (s3_url(uri, **AWS), s3_url(uri, **OWN)):
        assert url.isascii()
        assert not {" ", '"', "<", "'"} & set(url)
    assert dict(parse_qsl(urlsplit(s3_url(uri, **AWS)).query))["prefix"] == key
    own = urlsplit(s3_url(uri, **OWN))
    found = dict(parse_qsl(own.query)).get("prefix", unquote(own.path).removeprefix("/lake/"))
    assert found == key


@pytest.mark.parametrize(
    "browser", ["https://minio.example.org:9001/browser", "https://minio.example.org:9001/browser/"]
)
@pytest.mark.parametrize("place", [OWN, AWS])
def test_a_web_page_for_s3_that_airflow_is_told_takes_its_place(browser, place):
    page = "https://minio.example.org:9001/browser/lake/vehicle_registration/"
    assert s3_url(PREFIX, **place, browser=browser) == page
    assert s3_url(OBJECT, **place, browser=browser) == f"{page}_aigen/reports/5f0c.json"
    assert s3_url("s3://lake/ก b/", **place, browser=browser).endswith("/browser/lake/%E0%B8%81%20b/")


# --- what keeps it ------------------------------------------------------------------------------------------------


class Instance:
    """A task instance that keeps its XComs, or can't."""

    def __init__(self, error: Exception | None = None) -> None:
        self.kept: dict[str, Any] = {}
        self._error = error

    def xcom_push(self, *, key: str, value: Any) -> None:
        if self._error:
            raise self._error
        self.kept[key] = value


def persist(instance: Instance, **operator: Any) -> None:
    client = boto3.client("s3", region_name="eu-west-1", **KEYS)
    context: Any = {"ti": instance}
    AigenOutputLink.persist(context, SimpleNamespace(**{"do_xcom_push": True, **operator}), client, PREFIX)


def test_a_link_is_kept_where_airflow_3_looks_for_it():
    instance = Instance()
    persist(instance)
    assert instance.kept == {
        "_link_AigenOutputLink": "https://console.aws.amazon.com/s3/buckets/lake?region=eu-west-1&prefix=vehicle_registration/"
    }


def test_the_web_page_is_a_setting_of_airflow(monkeypatch):
    monkeypatch.setenv("AIRFLOW__AIGEN__S3_BROWSER_URL", "http://127.0.0.1:9001/browser")
    persist(instance := Instance())
    assert instance.kept == {"_link_AigenOutputLink": "http://127.0.0.1:9001/browser/lake/vehicle_registration/"}


def test_no_link_is_kept_for_a_task_that_pushes_no_xcom():
    instance = Instance()
    persist(instance, do_xcom_push=False)
    assert instance.kept == {}


def test_a_link_that_cannot_be_kept_fails_no_task(caplog):
    caplog.set_level("DEBUG", "airflow_provider_aigen")
    persist(Instance(RuntimeError("a text from who knows where")))
    assert "RuntimeError" in caplog.text
    assert "who knows where" not in caplog.text


@pytest.mark.parametrize(
    "link", [AigenReportLink(), AigenDeadLettersLink(), AigenOutputLink()], ids=lambda link: link.name
)
def test_the_key_is_the_one_that_airflow_would_take(link):
    assert link.xcom_key == f"_link_{type(link).__name__}"


def test_airflow_2_knows_every_link_by_its_path():
    ours = {f"{links.__name__}.{name}" for name in links.__all__ if name.endswith("Link")}
    assert set(get_provider_info()["extra-links"]) == ours
    assert {f"{type(link).__module__}.{type(link).__name__}" for link in AigenOcrOperator.operator_extra_links} == ours
