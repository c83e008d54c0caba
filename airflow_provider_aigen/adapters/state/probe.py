# SPDX-License-Identifier: Apache-2.0
"""The proof that a store keeps what the protocol rests on (design §3, The probe), on one object under the state.

Five requests, and one more where the object is new. Another process may probe at the same time: what is refused then
because it wrote in between proves nothing, and is tried again.
"""

from __future__ import annotations

import uuid

from airflow_provider_aigen.adapters.state.codec import SCHEMA
from airflow_provider_aigen.core.errors import AlreadyExists, ConfigurationError, ObjectChanged, ObjectNotFound
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.ports import ObjectStore

__all__ = ["PROBE", "probe"]

PROBE = "probe.json"

_NO_ETAG = "0" * 32
# Where so many writes of others came between, If-Match works.
_MOST_TRIES = 20


async def probe(store: ObjectStore, prefix: S3Prefix) -> None:
    """Raise ``ConfigurationError`` unless a second create and a write with a wrong ``If-Match`` are refused, the
    listing shows the object at once, and its ETag there is good for a read and for a write."""
    if await _create(store, prefix) and await _create(store, prefix):
        raise _lacks(prefix, "ignores If-None-Match on a PUT", "two runs could commit the same documents")
    try:
        await _put(store, prefix, if_match=_NO_ETAG)
    except (ObjectChanged, ObjectNotFound):
        pass
    else:
        raise _lacks(prefix, "ignores If-Match on a PUT", "two runs could pay for the same documents")
    refused: tuple[str, str] | None = None
    for _ in range(_MOST_TRIES):
        etag = await _listed_etag(store, prefix)
        if refused is not None and refused[0] == etag:
            raise _lacks(prefix, refused[1], "every document would look replaced, and no claim could be given back")
        refused = None
        try:
            await store.get(prefix.bucket, prefix.join(PROBE), if_match=etag)
        except (ObjectChanged, ObjectNotFound):
            refused = etag, "refuses to read an object with the ETag that its listing shows"
            continue
        try:
            await _put(store, prefix, if_match=etag)
        except (ObjectChanged, ObjectNotFound):
            refused = etag, "refuses a PUT with the right If-Match"
            continue
        return


async def _create(store: ObjectStore, prefix: S3Prefix) -> bool:
    try:
        await _put(store, prefix, create_only=True)
    except AlreadyExists:
        return False
    return True


async def _put(store: ObjectStore, prefix: S3Prefix, *, create_only: bool = False, if_match: str | None = None) -> None:
    # No two writes are alike, so that an ETag that comes back is that of one write.
    purpose = "a second create of this object must be refused"
    body = f'{{"schema":{SCHEMA},"purpose":"{purpose}","write":"{uuid.uuid4().hex}"}}\n'.encode()
    await store.put(
        prefix.bucket,
        prefix.join(PROBE),
        body,
        content_type="application/json",
        create_only=create_only,
        if_match=if_match,
    )


async def _listed_etag(store: ObjectStore, prefix: S3Prefix) -> str:
    key = prefix.join(PROBE)
    async for listed in store.list(prefix.bucket, key):
        if listed.key == key:
            return listed.etag
    raise _lacks(prefix, "does not list an object that it has", "new commits could be overlooked")


def _lacks(prefix: S3Prefix, what: str, consequence: str) -> ConfigurationError:
    return ConfigurationError(
        "state",
        f"the store at s3://{prefix.bucket} {what}: {consequence}. Use a store that supports conditional writes and is "
        "strongly consistent, such as Amazon S3",
    )
