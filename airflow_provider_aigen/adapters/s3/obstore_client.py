# SPDX-License-Identifier: Apache-2.0
"""GET and PUT through obstore, whose client is in Rust: a quarter of boto3's processor time per request.

It serves the good day. It tries once, and says what S3 answered only where that is beyond doubt; of anything else the
caller asks boto3, whose retries and error codes every promise rests on. Configurations and keys that obstore treats in
another way than boto3 are not for it (docs/reference/stores.md).
"""

from __future__ import annotations

import asyncio
import os
import re
import time
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from airflow_provider_aigen.adapters.s3.listing import unquoted
from airflow_provider_aigen.core.errors import AlreadyExists, ObjectChanged, ObjectNotFound
from airflow_provider_aigen.ports import StoredObject

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Credential

__all__ = ["ObstoreClient"]

# The threads of obstore are not in a process that is forked from one that used it: a request would wait there for ever.
_used_by: set[int] = set()

# A bucket for which boto3 succeeds so often in a row where obstore failed is boto3's for a while.
_FAILURES = 3
_PAUSE_S = 60.0
_TIMEOUT_S = 60.0
# obstore asks anew five minutes before they end, so every five minutes, and at each request once they end within five.
# boto3 renews those of a role earlier than that.
_CREDENTIALS_KEPT = timedelta(minutes=10)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CODE = re.compile(r"<Code>([A-Za-z]*)</Code>")
# What obstore raises for the status that belongs to the code: an answer of 500 decides nothing, whatever its body says.
_DECIDING: Mapping[str, tuple[type[Exception], ...]] = {
    "NoSuchKey": (FileNotFoundError,),
    "PreconditionFailed": (AlreadyExistsError, PreconditionError),
}
_NOT_SERVED = ("use_accelerate_endpoint", "use_dualstack_endpoint", "use_fips_endpoint")


class ObstoreClient:
    """The requests of ``client``, a boto3 S3 client: same endpoint, region, credentials, certificates.

    ``headers`` go with each request (the expected bucket owner), ``encryption`` (``adapters.s3.store.encryption``) with
    each write. Ask :meth:`serves` first. :meth:`get` returns None, and :meth:`put` False, where boto3 has to be asked;
    say then whether it succeeded."""

    def __init__(
        self,
        client: Any,
        *,
        headers: Mapping[str, str],
        encryption: Mapping[str, str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._headers = dict(headers)
        self._encryption = encryption
        self._monotonic = monotonic
        self._stores: dict[str, S3Store | None] = {}
        self._failures: dict[str, int] = {}
        self._pauses: dict[str, float] = {}

    def serves(self, bucket: str, key: str) -> bool:
        """Whether to try: False where boto3 serves this key or bucket, or this process."""
        if not _is_plain(key) or self._monotonic() < self._pauses.get(bucket, 0.0):
            return False
        _used_by.add(os.getpid())
        if len(_used_by) > 1:
            return False
        if bucket not in self._stores:
            self._stores[bucket] = self._open(bucket)
        return self._stores[bucket] is not None

    async def get(self, bucket: str, key: str, if_match: str | None) -> StoredObject | None:
        """The object. Raises ``ObjectNotFound`` and ``ObjectChanged``; None where boto3 has to be asked."""
        try:
            found = await self._store(bucket).get_async(
                key, options={"if_match": f'"{if_match}"'} if if_match else None
            )
            body = (await found.bytes_async()).to_bytes()
        except (BaseError, OSError, ValueError) as error:  # FileNotFoundError is one. Its text holds the key
            code = _code(error)
        else:
            self._failures[bucket] = 0
            meta, version = found.meta, found.meta["version"]
            etag = unquoted(meta["e_tag"])
            if not etag or (if_match and etag != if_match) or len(body) != meta["size"]:
                return None
            encoding = found.attributes.get("Content-Encoding")
            return StoredObject(
                body,
                etag,
                None if version in (None, "", "null") else version,
                meta["last_modified"].astimezone(UTC),
                encoding or None,
            )
        if code == "NoSuchKey":
            raise ObjectNotFound("the object is not there")
        if code == "PreconditionFailed" and if_match:
            raise ObjectChanged("the object is another one")
        return None

    async def put(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        content_type: str,
        content_encoding: str | None,
        create_only: bool,
        if_match: str | None,
    ) -> str | None:
        """Write, and return the ETag. Raises ``AlreadyExists`` and ``ObjectChanged``; None where boto3 has to be asked.
        It may be written then: a write whose answer was lost."""
        attributes = {"Content-Type": content_type}
        if content_encoding:
            attributes["Content-Encoding"] = content_encoding
        mode: Any = "create" if create_only else {"e_tag": f'"{if_match}"'} if if_match else "overwrite"
        try:
            written = await self._store(bucket).put_async(
                key, body, attributes=attributes, mode=mode, use_multipart=False
            )
        except (BaseError, OSError, ValueError) as error:
            code = _code(error)
        else:
            self._failures[bucket] = 0
            return unquoted(written["e_tag"])
        if code == "PreconditionFailed" and create_only:
            raise AlreadyExists("the key is taken")
        if code == "PreconditionFailed" and if_match:
            raise ObjectChanged("the object is another one")
        return None

    def boto3_succeeded(self, bucket: str) -> None:
        """Say that boto3 succeeded where obstore was tried and failed."""
        self._failures[bucket] = self._failures.get(bucket, 0) + 1
        if self._failures[bucket] >= _FAILURES:
            self._failures[bucket] = 0
            self._pauses[bucket] = self._monotonic() + _PAUSE_S
            self._stores.pop(bucket, None)  # opened anew, it asks for the credentials: they may have been revoked

    def _store(self, bucket: str) -> S3Store:
        store = self._stores[bucket]
        assert store is not None, "serves() says so"  # noqa: S101
        return store

    def _open(self, bucket: str) -> S3Store | None:
        """None where boto3 serves this bucket."""
        client = self._client
        credentials = getattr(client, "_request_signer", None) and client._request_signer._credentials  # noqa: SLF001
        verify = _verify(client)
        if credentials is None or verify is None or not _is_served(client, bucket):
            return None
        endpoint, virtual = _address(client, bucket)
        options: ClientConfig = {
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=client.meta.config.connect_timeout or _TIMEOUT_S),
            "read_timeout": timedelta(seconds=client.meta.config.read_timeout or _TIMEOUT_S),
            "timeout": timedelta(minutes=5),
            "default_headers": self._headers,
        }
        if verify is False:
            options["allow_invalid_certificates"] = True
        elif isinstance(verify, str):
            try:
                options["root_certificate"] = Path(verify).read_bytes()
            except OSError:  # boto3 fails over it too, with a sentence
                return None
        config: S3Config = {
            "endpoint": endpoint,
            "aws_endpoint_url_s3": endpoint,
            "region": client.meta.region_name,
            "virtual_hosted_style_request": virtual,
            "skip_signature": False,
        }
        if encryption := self._encryption.get("ServerSideEncryption"):
            config["server_side_encryption"] = encryption
        if key_id := self._encryption.get("SSEKMSKeyId"):
            config["sse_kms_key_id"] = key_id

        async def provide() -> S3Credential:
            # Those of a role are renewed over the network.
            frozen = await asyncio.to_thread(credentials.get_frozen_credentials)
            kept_until = datetime.now(UTC) + _CREDENTIALS_KEPT
            end = getattr(credentials, "_expiry_time", None)
            return {
                "access_key_id": frozen.access_key,
                "secret_access_key": frozen.secret_key,
                "token": frozen.token,
                "expires_at": kept_until if end is None else min(kept_until, end.astimezone(UTC)),
            }

        try:
            return S3Store(
                bucket,
                config=config,
                client_options=options,
                retry_config={"max_retries": 0},
                credential_provider=provide,
            )
        except (BaseError, ValueError):  # a file without a certificate, for example
            return None


def _is_plain(key: str) -> bool:
    """Whether obstore asks for this very key: it takes slashes away at both ends, and refuses some others. A key may
    not look like the answer of a store either, since obstore's errors repeat it."""
    return key.isprintable() and "<" not in key and not any(part in ("", ".", "..") for part in key.split("/"))


def _is_served(client: Any, bucket: str) -> bool:
    config = client.meta.config
    s3 = config.s3 or {}
    return (
        _BUCKET.fullmatch(bucket) is not None
        and not bucket.endswith(("--x-s3", "--ol-s3", "-s3alias"))
        and config.signature_version in (None, "s3v4")
        and client.meta.region_name not in (None, "aws-global")
        and not any(s3.get(name) or getattr(config, name, None) for name in _NOT_SERVED)
        and not config.client_cert
        and not config.proxies
        and not _proxied(client.meta.endpoint_url)
    )


def _proxied(url: str) -> bool:
    """Whether the environment names a proxy for this URL."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    named = parts.scheme in proxies or "all" in proxies
    return named and not urllib.request.proxy_bypass(parts.hostname or "")


def _verify(client: Any) -> bool | str | None:
    """How boto3 checks certificates: not, by a file, or as usual. None where this botocore does not say."""
    session = getattr(getattr(client, "_endpoint", None), "http_session", None)
    found = getattr(session, "_verify", None)
    return found if isinstance(found, bool | str) else None


def _address(client: Any, bucket: str) -> tuple[str, bool]:
    """The endpoint as obstore wants it, and whether it has the bucket's name in its host, as boto3 does it."""
    endpoint = client.meta.endpoint_url
    parts = urlsplit(endpoint)
    style = (client.meta.config.s3 or {}).get("addressing_style") or "auto"
    is_aws = (parts.hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))
    if "." in bucket or style == "path" or (style == "auto" and not is_aws):
        return endpoint, False
    return f"{parts.scheme}://{bucket}.{parts.netloc}{parts.path}", True


def _code(error: Exception) -> str:
    """S3's error code where it decides; ``""`` for any other failure."""
    found = _CODE.search(str(error))
    return found[1] if found is not None and isinstance(error, _DECIDING.get(found[1], ())) else ""
