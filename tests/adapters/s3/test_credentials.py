# SPDX-License-Identifier: Apache-2.0
"""The credentials of an AWS connection that assumes a role end and are renewed while a task works. Both clients sign
with those that are valid."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_aigen.adapters.s3 import obstore_client
from airflow_provider_aigen.adapters.s3.obstore_client import ObstoreClient
from airflow_provider_aigen.adapters.s3.store import S3ObjectStore
from airflow_provider_aigen.connections.s3 import s3_client
from airflow_provider_aigen.core.errors import ConfigurationError
from tests.kit.servers.hostile import Exchange, HostileServer, in_a_thread
from tests.kit.servers.s3 import S3Server
from tests.kit.servers.scripted import Reply, s3_error

WHOLE = Reply(200, b"image", {"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT"})
_ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token-of-{key}</SessionToken>
<Expiration>{end}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""

_DENIED = b"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code></Error></ErrorResponse>"


class Aws(HostileServer):
    """STS, whose nth credentials are ``key-n``, and an S3 that knows nothing of the first ``refused`` of them.
    ``signed`` is which client signed each of its requests, and with which key."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.life = timedelta(hours=1)
        self.issued = self.refused = 0
        self.denies = False
        self.signed: list[tuple[str, str]] = []

    async def _answer(self, exchange: Exchange) -> None:
        if b"Action=AssumeRole" in exchange.body:
            if self.denies:
                await Reply(403, _DENIED)(exchange)
                return
            self.issued += 1
            end = (datetime.now(UTC) + self.life).isoformat()
            await Reply(200, _ASSUMED.format(key=f"key-{self.issued}", end=end).encode())(exchange)
            return
        [number] = re.findall(r"Credential=key-(\d+)/", exchange.headers["authorization"])
        assert exchange.headers["x-amz-security-token"] == f"token-of-key-{number}"
        client = exchange.headers["user-agent"].partition("/")[0].lower()
        self.signed.append((client, f"key-{number}"))
        await (s3_error(400, "ExpiredToken") if int(number) <= self.refused else WHOLE)(exchange)


@pytest.fixture
def aws() -> Iterator[Aws]:
    server = Aws()
    with in_a_thread(server):
        yield server


class Role:
    """A store through an Airflow connection that assumes a role. boto3's clock is ``passed`` ahead of obstore's, which
    is the machine's."""

    def __init__(self, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
        connection = S3Server(aws.url, "user", "secret").airflow_connection(
            role_arn="arn:aws:iam::123456789012:role/scans",
            service_config={"sts": {"endpoint_url": aws.url}},
            config_kwargs={"retries": {"mode": "standard", "total_max_attempts": 1}},
        )
        monkeypatch.setenv("AIRFLOW_CONN_ROLE", connection)
        client = s3_client("role", 4)
        self.passed, self.monotonic = timedelta(), 100.0
        client._request_signer._credentials._time_fetcher = lambda: datetime.now(UTC) + self.passed
        self._store = S3ObjectStore(client, concurrency=4)
        self._store._obstore._monotonic = lambda: self.monotonic  # type: ignore[union-attr]

    def get(self) -> None:
        assert asyncio.run(self._store.get("bucket", "a")).body == b"image"

    def close(self) -> None:
        self._store.close()


@pytest.fixture
def role(aws: Aws, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Role]:
    """Its first credentials are valid for ``request.param``."""
    aws.life = request.param
    role = Role(aws, monkeypatch)
    aws.life = timedelta(hours=3)
    yield role
    role.close()


ENDED, VALID = timedelta(seconds=-1), timedelta(hours=1)


@pytest.mark.parametrize("role", [ENDED], indirect=True)
def test_the_next_request_after_the_end_is_signed_with_the_new_ones(aws, role):
    role.passed = timedelta(hours=-2)  # boto3 takes them for valid once more
    role.get()
    role.passed = timedelta()
    role.get()
    role.get()
    assert aws.signed == [("object_store", "key-1"), ("object_store", "key-2"), ("object_store", "key-2")]
    assert aws.issued == 2


@pytest.mark.parametrize("role", [VALID], indirect=True)
def test_what_is_refused_because_they_ended_early_boto3_signs_and_then_obstore_too(aws, role):
    """As where an administrator revoked them."""
    role.get()
    aws.refused, role.passed = 1, timedelta(hours=2)
    for _ in range(3):
        role.get()
    assert aws.signed == [("object_store", "key-1"), *[("object_store", "key-1"), ("boto3", "key-2")] * 3]
    role.get()
    role.monotonic += 61
    role.get()
    assert aws.signed[-2:] == [("boto3", "key-2"), ("object_store", "key-2")]


@pytest.mark.parametrize("role", [ENDED], indirect=True)
def test_a_renewal_that_is_refused_is_said_in_one_sentence(aws, role):
    aws.denies = True
    with pytest.raises(ConfigurationError, match=r"^aws_conn_id: AssumeRole .* was refused \(AccessDenied\)$"):
        role.get()
    assert aws.signed == []


def handed(monkeypatch: pytest.MonkeyPatch, client: Any) -> timedelta:
    """For how long obstore may take the credentials for valid."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(obstore_client, "S3Store", lambda *_, **options: given.update(options))
    ObstoreClient(client, headers={}, encryption={}).serves("bucket", "a")
    end = asyncio.run(given["credential_provider"]())["expires_at"]
    return end - datetime.now(UTC)  # type: ignore[no-any-return]


ASKS_BEFORE = timedelta(minutes=5)  # obstore asks for them again so long before they end: always, once less is left


@pytest.mark.parametrize("ends_in", [None, timedelta(hours=1), timedelta(minutes=-1)])
def test_obstore_asks_neither_at_each_request_nor_too_late(monkeypatch, ends_in):
    client = S3Server("http://localhost:1", "key", "secret").client()
    if ends_in is not None:
        frozen = SimpleNamespace(access_key="a", secret_key="b", token="c")
        client._request_signer._credentials = SimpleNamespace(
            get_frozen_credentials=lambda: frozen, _expiry_time=datetime.now(UTC) + ends_in
        )
    kept = handed(monkeypatch, client)
    if ends_in is not None and ends_in < ASKS_BEFORE:
        assert kept <= ends_in
    else:
        assert ASKS_BEFORE < kept <= 2 * ASKS_BEFORE
