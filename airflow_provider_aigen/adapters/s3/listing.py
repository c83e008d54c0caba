# SPDX-License-Identifier: Apache-2.0
"""Pages of ListObjectsV2, as stores fill them: without ``IsTruncated``, without a token, twice, without an end.

No order of keys is asked for: some stores list by folders. A listing that does not come to an end is told by pages that
begin like an earlier one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_provider_aigen.core.errors import ConfigurationError, StorageUnavailableError
from airflow_provider_aigen.core.models import SourceObject
from airflow_provider_aigen.core.no_documents import is_no_document

__all__ = ["Pages", "entry", "is_whole", "mended", "unquoted", "with_epoch_seconds"]

# One of these is in every answer to ListObjectsV2. Where headers break off, the body looks empty, and has none of them.
_ELEMENTS = frozenset({"CommonPrefixes", "Contents", "IsTruncated", "KeyCount", "MaxKeys", "Name", "Prefix"})
# A page may come twice, from a proxy that repeats a request, for example.
_MOST_REPEATS = 3
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

# In the XML of a store that ignores ``encoding-type=url``, keys may hold what XML cannot, or what its readers change.
_ENCODED = re.compile(rb"(<(?:Key|Prefix|StartAfter)>)(.*?)(?=</)", re.DOTALL)
_NOT_IN_XML = (
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]|&#(?:x0*(?:[0-8bcef]|1[0-9a-f])|0*(?:[0-8]|1[124-9]|2\d|3[01]));"
)
_BARE_AMPERSAND = rb"&(?!(?:amp|lt|gt|quot|apos|#[0-9]+|#x[0-9A-Fa-f]+);)"
_UNFIT = re.compile(rb"(?i:" + _NOT_IN_XML + rb")|\r|" + _BARE_AMPERSAND)
_FIT = {b"\r": b"&#13;", b"&": b"&amp;"}
_UNKNOWN = "\ufffd".encode()
_LAST_MODIFIED = re.compile(rb"(?<=<LastModified>)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z(?=</LastModified>)")


def mended(xml: bytes) -> bytes:
    """The listing as XML that can be read. A character that XML cannot have becomes U+FFFD, so that one odd key is that
    object's matter: it is listed under a name that it does not have."""
    if _UNFIT.search(xml) is None:
        return xml
    return _ENCODED.sub(
        lambda part: part[1] + _UNFIT.sub(lambda unfit: _FIT.get(unfit[0], _UNKNOWN), part[2]),
        xml,
    )


def with_epoch_seconds(xml: bytes) -> bytes:
    """The listing with its times as seconds since 1970. ``botocore`` guesses the format of each time that is no number,
    which takes it more than all the rest of a page."""
    return _LAST_MODIFIED.sub(_epoch_seconds, xml)


def _epoch_seconds(found: re.Match[bytes]) -> bytes:
    try:
        return repr(datetime.fromisoformat(found[0].decode()).timestamp()).encode()
    except ValueError:  # no such day
        return found[0]


def is_whole(page: Mapping[str, Any]) -> bool:
    """Whether the answer has anything of a listing."""
    return not _ELEMENTS.isdisjoint(page)


def unquoted(etag: str | None) -> str:
    """An ETag as it is kept. A weak one (``W/"…"``) is made of a strong one by a proxy that compresses, and the store
    itself knows only that."""
    return (etag or "").removeprefix("W/").strip('"')


class Pages:
    """The way through one listing. ``position`` goes with the next request; ``done`` says that there is none."""

    def __init__(self, bucket: str, after: str | None) -> None:
        self.position: dict[str, str] = {"StartAfter": after} if after else {}
        self.done = False
        self._bucket = bucket
        self._keys: frozenset[str] = frozenset()
        self._begun: set[str] = set()
        self._tokens: set[str] = set()
        self._repeats = 0

    def take(self, page: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The entries of the page, without those of the page before. Raises ``StorageUnavailableError`` where the page
        names no way to the next one, ``ConfigurationError`` where the listing has no end."""
        entries = [item for item in page.get("Contents", ()) if "Key" in item]
        new = [item for item in entries if item["Key"] not in self._keys]
        self._keys = frozenset(item["Key"] for item in entries)
        token = page.get("NextContinuationToken")
        self.done = not page.get("IsTruncated", token is not None)
        if not self.done:
            self._go_on(entries, token)
        return new

    def _go_on(self, entries: Sequence[Mapping[str, Any]], token: str | None) -> None:
        first = entries[0]["Key"] if entries else None
        self._repeats += first in self._begun
        if self._repeats > _MOST_REPEATS or token in self._tokens:
            raise ConfigurationError(
                f"s3://{self._bucket}",
                "the listing has no end: ListObjectsV2 gives the same pages again and again. Use a store that "
                "supports ListObjectsV2 with continuation tokens",
            )
        if first is not None:
            self._begun.add(first)
        if token:
            self._tokens.add(token)
            self.position = {"ContinuationToken": token}
        elif entries:
            self.position = {"StartAfter": entries[-1]["Key"]}
        else:
            raise StorageUnavailableError(f"ListObjectsV2 on s3://{self._bucket} broke off before its last page")


def entry(bucket: str, key: str, facts: Mapping[str, Any], *, final: bool) -> SourceObject | None:
    """The object that ``facts`` of a listing or of HeadObject describe; None where they leave out what is needed.

    ``final``: nothing else is known of it. Then a marker of a folder, which nobody reads, may lack anything; for any
    other object it raises ``ConfigurationError``."""
    etag, size, modified = unquoted(facts.get("ETag")), facts.get("Size"), facts.get("LastModified")
    size = facts.get("ContentLength") if size is None else size
    missing = [
        name
        for name, is_there in (("ETag", etag or size == 0), ("Size", size is not None), ("LastModified", modified))
        if not is_there
    ]
    made = SourceObject(bucket, key, etag, size or 0, modified.astimezone(UTC) if modified else _LONG_AGO)
    if not missing or (final and is_no_document(made)):
        return made
    if not final:
        return None
    raise ConfigurationError(
        f"s3://{bucket}",
        f"neither ListObjectsV2 nor HeadObject gives an object's {' and '.join(missing)}: without that, a replaced "
        "object cannot be told from the old one. Use a store that gives ETag, Size and LastModified",
    )
