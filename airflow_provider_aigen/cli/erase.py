# SPDX-License-Identifier: Apache-2.0
"""Erase documents: source, answers, rows, dead letters, and their names in plans and commits (docs/how-to/erase.md).

    python -m airflow_provider_aigen.cli.erase DESTINATION DOCUMENT_ID… [--yes]

Other documents with the same bytes are erased too. Without ``--yes`` it only says what it found. Run it only while no
run works on this destination. It may be stopped at any moment and run again with the same ids.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import boto3

from airflow_provider_aigen.adapters.s3.store import S3ObjectStore, encryption
from airflow_provider_aigen.adapters.state.codec import BATCH, COMMIT, PLAN
from airflow_provider_aigen.adapters.state.store import S3StateStore
from airflow_provider_aigen.adapters.tables.dead_letters import S3DeadLetters
from airflow_provider_aigen.adapters.tables.documents import dead_letter_uri
from airflow_provider_aigen.adapters.tables.parquet import ParquetTables, part_name
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, SourceObject, Table
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.pipeline.effects import Effects, finish_commits


class Versions:
    """S3 with every version of its objects: what is deleted here is gone in all of them."""

    def __init__(self, client: Any, encryption: dict[str, str]) -> None:
        self.client = client
        self._encryption = encryption

    def read(self, bucket: str, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def replace(self, bucket: str, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/gzip", **self._encryption)

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from (item["Key"] for item in page.get("Contents", ()))

    def versions(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        """Every version and delete marker; in a bucket without versioning the objects, as the version ``null``."""
        for page in self.client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            yield from page.get("Versions", ())
            yield from page.get("DeleteMarkers", ())

    def delete(self, bucket: str, prefix: str) -> None:
        """Delete all that lies under ``prefix``."""
        self._delete(bucket, list(self.versions(bucket, prefix)))

    def delete_replaced(self, bucket: str, prefix: str) -> None:
        """Delete every version under ``prefix`` except the newest ones."""
        self._delete(bucket, [item for item in self.versions(bucket, prefix) if not item["IsLatest"]])

    def delete_source(self, document: SourceObject) -> None:
        """Delete its own bytes, and nothing that was put in their place. Delete markers keep the key's name; they are
        deleted with the last version, because before that they hide others."""
        items = [item for item in self.versions(document.bucket, document.key) if item["Key"] == document.key]
        own = [item for item in items if item.get("ETag", "").strip('"') == document.etag]
        rest = [item for item in items if item not in own]
        self._delete(document.bucket, own if any("ETag" in item for item in rest) else items)

    def _delete(self, bucket: str, items: list[dict[str, Any]]) -> None:
        for item in items:
            self.client.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])


@dataclass
class Found:
    """Where the documents are named."""

    documents: dict[str, SourceObject]
    outcomes: list[tuple[CommitEntry, DocumentOutcome]]
    commits: dict[str, CommitEntry]
    batches: dict[str, Any]


def find(s3: Versions, state: S3Prefix, wanted: set[str]) -> Found:
    """Read all commits and plans: a document may be in the plans of runs that did not take it."""
    commits = {
        key: COMMIT.from_gzip(s3.read(state.bucket, key))
        for key in s3.keys(state.bucket, state.join("commits", ""))
        if key.endswith(".json.gz")
    }
    outcomes = [(entry, outcome) for entry in commits.values() for outcome in entry.outcomes]
    contents = {o.content_sha256 for _, o in outcomes if o.document.document_id in wanted} - {None}
    outcomes = [(e, o) for e, o in outcomes if o.document.document_id in wanted or o.content_sha256 in contents]
    ids = wanted | {outcome.document.document_id for _, outcome in outcomes}
    batches = {
        key: BATCH.from_gzip(s3.read(state.bucket, key))
        for key in s3.keys(state.bucket, state.join("plans", ""))
        if re.search(r"/\d{5,}\.json\.gz$", key)
    }
    batches = {key: batch for key, batch in batches.items() if ids & {d.document_id for d in batch.documents}}
    planned = [document for batch in batches.values() for document in batch.documents]
    documents = {d.document_id: d for d in planned if d.document_id in ids}
    documents |= {outcome.document.document_id: outcome.document for _, outcome in outcomes}
    numbers = {entry.number for entry, _ in outcomes}
    return Found(documents, outcomes, {k: e for k, e in commits.items() if e.number in numbers}, batches)


def erase(s3: Versions, state: S3Prefix, found: Found) -> None:
    """Erase what was found. The names in plans and commits go last, because a second call finds the rest by them. The
    ledger goes first, because it says what commits and applied marks said before: the next run makes it again."""
    s3.delete(state.bucket, state.join("ledger", ""))
    for document in found.documents.values():
        s3.delete_source(document)
    for entry, outcome in found.outcomes:
        if outcome.content_sha256:
            for folder in ("answers", "claims"):
                names = (folder, *entry.settings.document_type.split("/"), outcome.content_sha256[:2])
                s3.delete(state.bucket, state.join(*names, f"{outcome.content_sha256}.json.gz"))
        if outcome.has_dead_letter:  # the record, and the image with whatever extension
            bucket, _, key = dead_letter_uri(entry.settings, outcome).removeprefix("s3://").partition("/")
            s3.delete(bucket, key.removesuffix(".json"))
    for key, batch in found.batches.items():
        kept = tuple(d for d in batch.documents if d.document_id not in found.documents)
        s3.replace(state.bucket, key, BATCH.to_gzip(replace(batch, documents=kept)))
        plan_key = state.join("plans", batch.run.run_key, "plan.json.gz")
        if plan_key in s3.keys(state.bucket, plan_key):
            plan = PLAN.from_gzip(s3.read(state.bucket, plan_key))
            plan = replace(plan, documents=plan.documents - len(batch.documents) + len(kept))
            s3.replace(state.bucket, plan_key, PLAN.to_gzip(plan))
    for key, entry in found.commits.items():
        root = S3Prefix.parse("destination", entry.settings.destination)
        partition = entry.settings.partition.split("/") if entry.settings.partition else ()
        s3.delete(state.bucket, key.replace(".json.gz", ".applied"))
        for table in Table:
            part = root.join(table, *partition, part_name(entry))
            s3.delete(root.bucket, part)
        kept_outcomes = tuple(o for o in entry.outcomes if o.document.document_id not in found.documents)
        s3.replace(state.bucket, key, COMMIT.to_gzip(replace(entry, outcomes=kept_outcomes)))


class NoDeadLetters(S3DeadLetters):
    """Writes none: those of the other documents were written, and some may have been deleted since."""

    async def write(self, entry: CommitEntry, outcome: DocumentOutcome) -> None:
        pass


def write_parts(s3: Versions, state: S3Prefix, dead_letters: type[S3DeadLetters]) -> None:
    """The parts of every commit without its mark, from the state, as a run does it."""
    store = S3ObjectStore(s3.client)
    state_store = S3StateStore(store, state)
    with closing(store):
        asyncio.run(finish_commits(state_store, Effects(state_store, ParquetTables(store), dead_letters(store, state))))


def main() -> None:
    """Print what is there, and erase it with ``--yes``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("destination", help="the operator's destination, s3://…")
    parser.add_argument("document_id", nargs="+")
    parser.add_argument("--state", help="the operator's state, if it is not <destination>/_aigen")
    parser.add_argument("--sse-kms-key-id", help="the operator's sse_kms_key_id, if it has one")
    parser.add_argument("--yes", action="store_true", help="erase them; without it nothing is changed")
    args = parser.parse_args()
    state = S3Prefix.parse("state", args.state or args.destination.rstrip("/") + "/_aigen/")
    s3 = Versions(boto3.client("s3"), encryption(args.sse_kms_key_id))
    found = find(s3, state, set(args.document_id))
    for document_id in sorted(found.documents):
        print(document_id, "" if document_id in args.document_id else "(the same bytes)")
    print(
        f"{len(found.documents)} documents in {len(found.commits)} commits and {len(found.batches)} plan batches; "
        f"{sum(outcome.has_dead_letter for _, outcome in found.outcomes)} dead letters"
    )
    if args.yes:
        write_parts(s3, state, S3DeadLetters)  # what a run left unfinished, while its answers are there
        erase(s3, state, found)
        write_parts(s3, state, NoDeadLetters)
        s3.delete_replaced(state.bucket, state.prefix)
        print("Erased.")


if __name__ == "__main__":
    main()
