# SPDX-License-Identifier: Apache-2.0
"""An S3 behind HTTPS whose certificate a company's own authority signed, through Airflow's AWS connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from airflow_provider_aigen.adapters.s3.store import S3ObjectStore
from airflow_provider_aigen.connections.s3 import s3_client
from airflow_provider_aigen.core.errors import ConfigurationError
from tests.kit.servers.hostile import in_a_thread
from tests.kit.servers.odd_s3 import OddS3, odd_s3
from tests.kit.servers.s3 import S3Server
from tests.kit.servers.scripted import ScriptedServer

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
KEY = "incoming/plate-1234.jpg"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def authority_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def tls(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def secure(s3_server: S3Server, authority: trustme.CA) -> Iterator[OddS3]:
    with odd_s3(s3_server, tls(authority)) as server:
        yield server


def through(monkeypatch: pytest.MonkeyPatch, server: S3Server, **extra: Any) -> S3ObjectStore:
    once = {"retries": {"mode": "standard", "total_max_attempts": 1}}
    monkeypatch.setenv("AIRFLOW_CONN_COMPANY", server.airflow_connection(config_kwargs=once, **extra))
    return S3ObjectStore(s3_client("company", 4), concurrency=4)


@pytest.mark.parametrize("named", ["verify", "AWS_CA_BUNDLE", "not verified"])
def test_both_clients_work_with_the_authority_that_the_connection_or_the_environment_names(
    monkeypatch, secure, bucket, authority_file, named
):
    if named == "AWS_CA_BUNDLE":
        monkeypatch.setenv(named, str(authority_file))
    verify = {"verify": str(authority_file)}, {"verify": False}, {}
    extra = dict(zip(("verify", "not verified", "AWS_CA_BUNDLE"), verify, strict=True))[named]
    store = through(monkeypatch, secure.s3, **extra)
    secure.requests.clear()

    async def scenario() -> None:
        await store.put(bucket, KEY, b"image", create_only=True)
        assert (await store.get(bucket, KEY)).body == b"image"
        assert [found.key async for found in store.list(bucket, "incoming/")] == [KEY]

    asyncio.run(scenario())
    store.close()
    agents = [exchange.headers["user-agent"].partition("/")[0].lower() for exchange in secure.requests]
    assert agents == ["object_store", "object_store", "boto3"]


@pytest.fixture
def refused(authority: trustme.CA, request: pytest.FixtureRequest) -> Iterator[ScriptedServer]:
    """A server with a certificate for ``request.param``."""
    server = ScriptedServer(tls=tls(authority, request.param))
    with in_a_thread(server):
        yield server


def sentences(store: S3ObjectStore) -> list[str]:
    """What each kind of call says."""
    said = []

    async def listing() -> None:
        async for _ in store.list("bucket", KEY):
            pass

    for call in (lambda: store.get("bucket", KEY), lambda: store.put("bucket", KEY, b"x"), listing):
        with pytest.raises(ConfigurationError) as raised:
            asyncio.run(call())
        assert raised.value.__context__ is raised.value.__cause__ is None
        said.append(str(raised.value))
    store.close()
    return said


@pytest.mark.parametrize(
    ("refused", "trusts", "why"),
    [
        ("localhost", False, "unable to get local issuer certificate"),
        ("s3.example", True, "it is another host's"),
    ],
    indirect=["refused"],
    ids=["unknown authority", "another host"],
)
def test_a_certificate_that_is_not_trusted_is_said_in_one_sentence(
    monkeypatch, refused, authority_file, trusts, why, caplog
):
    extra = {"verify": str(authority_file)} if trusts else {}
    said = sentences(through(monkeypatch, refused.s3, **extra))
    for sentence in said:
        for part in ("aws_conn_id: ", "localhost", why, "set verify in the AWS connection's extra"):
            assert part in sentence
        assert "plate" not in sentence
    assert "plate" not in caplog.text
    assert refused.requests == [], "nothing was sent"


@pytest.mark.parametrize("refused", ["localhost"], indirect=True)
@pytest.mark.parametrize("file", ["missing", "folder", "empty"])
def test_a_file_of_authorities_that_cannot_be_read_is_said_in_one_sentence(monkeypatch, refused, tmp_path, file):
    path = tmp_path / "ca.pem"
    if file == "folder":
        path.mkdir()
    elif file == "empty":
        path.touch()
    for sentence in sentences(through(monkeypatch, refused.s3, verify=str(path))):
        assert sentence.startswith("aws_conn_id: ")
        assert "verify in its extra, or AWS_CA_BUNDLE, names no file of certificates" in sentence
    assert refused.requests == []
