# SPDX-License-Identifier: Apache-2.0
"""S3 URIs as users write them: prefixes to write under, a prefix or glob to read from (design §1, §4).

Errors name the parameter and never repeat the URI: a key may hold a plate or a name, and a mistyped URI a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

from airflow_provider_aigen.core import globs
from airflow_provider_aigen.core.errors import ConfigurationError

__all__ = ["S3Prefix", "Source", "check_disjoint", "split_object"]

_SCHEME = "s3://"
# Old buckets have names with capital letters, underscores, and up to 255 characters.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9_-]")
_DIRECTORY_BUCKET = "--x-s3"
_IP_ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# S3's keys end at 1,024 bytes; what is written under a prefix takes up to 300 of them.
_MAX_PREFIX_BYTES = 700


@dataclass(frozen=True, slots=True)
class S3Prefix:
    """A place in S3 where something is written: ``prefix`` is ``""`` or ends with ``/``."""

    bucket: str
    prefix: str = field(repr=False)

    @classmethod
    def parse(cls, parameter: str, uri: str) -> S3Prefix:
        """Raises ``ConfigurationError`` naming ``parameter`` for anything but ``s3://bucket[/folder…][/]``."""
        bucket, prefix = _split(parameter, uri)
        prefix = prefix if prefix.endswith("/") or not prefix else prefix + "/"
        if prefix.startswith("/") or "//" in prefix:
            raise ConfigurationError(parameter, "has an empty folder name (two slashes in a row)")
        if _CONTROL.search(prefix) or prefix != prefix.strip() or prefix.endswith(" /"):
            raise ConfigurationError(parameter, "has a control character, or a space at an end")
        if len(prefix.encode("utf-8", "surrogatepass")) > _MAX_PREFIX_BYTES:
            raise ConfigurationError(parameter, f"must not be longer than {_MAX_PREFIX_BYTES} bytes")
        return cls(bucket, prefix)

    def join(self, *names: str) -> str:
        """The key of what ``names`` lead to under this prefix."""
        return self.prefix + "/".join(names)

    def is_inside(self, other: S3Prefix) -> bool:
        """Whether all that is under this prefix is under ``other`` too."""
        return self.bucket == other.bucket and self.prefix.startswith(other.prefix)

    @property
    def uri(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.prefix}"


@dataclass(frozen=True, slots=True)
class Source:
    """What a run reads: a folder, or the keys that a glob matches.

    List under ``prefix`` and ask ``matches``. A folder's prefix is listed without its closing slash, for an object may
    have exactly that key; ``incoming`` takes ``incoming`` and ``incoming/…``, never ``incoming2/…``.
    :mod:`.globs` has what a glob may have."""

    bucket: str
    prefix: str = field(repr=False)
    pattern: str | None = field(repr=False, default=None)

    @classmethod
    def parse(cls, uri: str) -> Source:
        """Raises ``ConfigurationError``."""
        bucket, path = _split("source", uri)
        prefix, expression = globs.parse(path)
        return cls(bucket, prefix, path if expression is not None else None)

    def matches(self, key: str) -> bool:
        """Whether the source takes this key."""
        if self.pattern is not None:
            _, expression = globs.parse(self.pattern)
            return expression is not None and expression.fullmatch(key) is not None
        return key == self.prefix or key.startswith(_folder(self.prefix))

    @property
    def territory(self) -> str:
        """What every key that it takes begins with, but an object of the folder's own name."""
        return self.prefix if self.pattern is not None else _folder(self.prefix)


def split_object(uri: str) -> tuple[str, str]:
    """Bucket and key of the URI of one object."""
    bucket, _, key = uri.removeprefix(_SCHEME).partition("/")
    return bucket, key


def check_disjoint(uris: Mapping[str, str | None]) -> None:
    """Raise ``ConfigurationError``, naming both parameters, where two of ``source``, ``destination``, ``dead_letter``
    and ``state`` overlap: what one run writes would be the next one's input, or another's table. ``state`` may lie
    inside ``destination``, outside the tables. A URI that is no S3 URI raises too; None is left out."""
    territories: dict[str, tuple[str, str]] = {}
    for parameter, uri in uris.items():
        if uri is None:
            continue
        if parameter == "source":
            source = Source.parse(uri)
            territories[parameter] = source.bucket, source.territory
        else:
            prefix = S3Prefix.parse(parameter, uri)
            territories[parameter] = prefix.bucket, prefix.prefix
    for (one, (bucket, first)), (other, (other_bucket, second)) in combinations(territories.items(), 2):
        if bucket != other_bucket or not (first.startswith(second) or second.startswith(first)):
            continue
        if {one, other} == {"destination", "state"}:
            _check_state(territories["destination"][1], territories["state"][1])
        else:
            raise ConfigurationError(one, f"overlaps with {other}: neither may lie inside the other")


def _check_state(destination: str, state: str) -> None:
    if not state.startswith(destination):
        raise ConfigurationError("destination", "lies inside state: only state may lie inside destination")
    if state.removeprefix(destination).startswith(("fields/", "records/", "documents/", "runs/")):
        raise ConfigurationError("state", "lies inside one of destination's tables: use a folder of its own")


def _split(parameter: str, uri: str) -> tuple[str, str]:
    if not isinstance(uri, str) or not uri.startswith(_SCHEME):
        raise ConfigurationError(parameter, "must be an S3 URI that begins with s3://")
    bucket, _, path = uri.removeprefix(_SCHEME).partition("/")
    if bucket.startswith("arn:"):
        raise ConfigurationError(
            parameter,
            "must not be an ARN: write the alias of the access point, which ends with -s3alias, in place of a bucket "
            "(a multi-Region access point cannot be used, since it is not strongly consistent)",
        )
    if bucket.endswith(_DIRECTORY_BUCKET):
        raise ConfigurationError(
            parameter,
            "must not be a directory bucket (--x-s3), which lists its objects in no order: use another bucket",
        )
    if not _BUCKET.fullmatch(bucket) or ".." in bucket or _IP_ADDRESS.fullmatch(bucket):
        raise ConfigurationError(
            parameter,
            "must name a bucket: 3 to 255 letters, digits, dots, hyphens and underscores, a letter or digit first",
        )
    if not {".", ".."}.isdisjoint(path.split("/")):
        raise ConfigurationError(
            parameter, "must not have . or .. as a folder: S3 takes them literally, its clients don't"
        )
    return bucket, path


def _folder(prefix: str) -> str:
    return prefix if prefix.endswith("/") or not prefix else prefix + "/"
