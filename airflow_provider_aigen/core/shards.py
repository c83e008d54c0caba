# SPDX-License-Identifier: Apache-2.0
"""A plan → shards: equal parts of it for several tasks, and the short texts that carry them from task to task.

A shard is a list of spans of batches, and not a copy of anything: the documents stand in the plan. What is committed
knows nothing of shards, so a plan that is cut in another way later loses nothing and takes nothing twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import Plan, PlanBatch, SourceObject
from airflow_provider_aigen.core.report import counted
from airflow_provider_aigen.core.uris import S3Prefix

__all__ = ["PlanAddress", "Shard", "Span", "cut", "parse_shard", "shard_text", "whole"]

_FORMAT = 1
_NOT_A_SHARD = (
    "is no shard as AigenOcrPlanOperator returned it: map the operator over that task's return value, "
    "expand(plan=plan.output), and change nothing in it"
)
_RUN_KEY = re.compile(r"[0-9a-f]{32}")
_SHARD = re.compile(r"(?P<plan>.+)#(?P<format>\d+):(?P<spans>[\d.,-]+):(?P<documents>\d+):(?P<digest>[0-9a-f]{8})")
_SPAN = re.compile(r"(\d+)(?:\.(\d+))?-(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Span:
    """Documents of a plan that follow one another: from document ``begin`` of batch ``first`` to the one before
    document ``end`` of batch ``last``, or to the last one where ``end`` is None. All of them count from 0."""

    first: int
    last: int
    begin: int = 0
    end: int | None = None

    def of(self, batch: PlanBatch) -> tuple[SourceObject, ...]:
        """What it has of one of its batches."""
        begin = self.begin if batch.number == self.first else 0
        return batch.documents[begin : self.end if batch.number == self.last else None]

    def __str__(self) -> str:
        begin = f".{self.begin}" if self.begin else ""
        return f"{self.first}{begin}-{self.last}" + (f".{self.end}" if self.end is not None else "")


@dataclass(frozen=True, slots=True)
class Shard:
    """What one task works on. No two ``spans`` have a batch in common; all have ``documents`` together."""

    spans: tuple[Span, ...]
    documents: int

    @property
    def batches(self) -> Iterator[tuple[Span, int]]:
        """The number of each batch that it has something of, and the span that says what."""
        return ((span, number) for span in self.spans for number in range(span.first, span.last + 1))

    def part_of(self, plan: Plan) -> str:
        """A short text for what it has of the plan, ``""`` where that is all."""
        return "" if self == whole(plan) else ",".join(map(str, self.spans))

    @property
    def label(self) -> str:
        """For a person: ``batches 0-12: 6500 documents``."""
        batches = ", ".join(
            str(span.first) if span.first == span.last else f"{span.first}-{span.last}" for span in self.spans
        )
        one = len(self.spans) == 1 and self.spans[0].first == self.spans[0].last
        return f"{'batch' if one else 'batches'} {batches}: {counted(self.documents, 'document')}"


@dataclass(frozen=True, slots=True)
class PlanAddress:
    """Where a plan lies: the state, and the run's name in it."""

    state: S3Prefix
    run_key: str = field(repr=False)

    @property
    def uri(self) -> str:
        """``s3://…/plans/<run_key>/``."""
        return f"{self.state.uri}plans/{self.run_key}/"

    @classmethod
    def parse(cls, uri: str) -> PlanAddress:
        """Raises ``ConfigurationError`` for anything else than such a ``uri``."""
        state, _, run_key = uri.removesuffix("/").rpartition("/plans/")
        if not _RUN_KEY.fullmatch(run_key):
            raise ConfigurationError(
                "plan", "is no plan as AigenOcrPlanOperator names it: give the operator plan.plan_uri"
            )
        return cls(S3Prefix.parse("plan", state), run_key)


def whole(plan: Plan) -> Shard:
    """All of the plan, for a task that works alone."""
    return Shard((Span(0, plan.batches - 1),) if plan.batches else (), plan.documents)


def cut(plan: Plan, sizes: Sequence[int], shards: int, batch_size: int) -> list[Shard]:
    """At most ``shards`` equal parts of the plan, whose batches have ``sizes``: their numbers of documents differ by
    one at most. There are fewer parts where one would have less than ``batch_size`` documents.

    Dead letters that are tried again are divided equally, too: what a try concludes from their failures it concludes
    from how new documents fared beside them."""
    parts = min(shards, -(-plan.documents // batch_size))
    if not parts:
        return []
    retaken = set(plan.retaken)
    new = [(number, size) for number, size in enumerate(sizes) if number not in retaken]
    old = [(number, size) for number, size in enumerate(sizes) if number in retaken]
    new_shares, extra = _shares(sum(size for _, size in new), parts)
    old_shares, _ = _shares(sum(size for _, size in old), parts, extra)
    spans = zip(_spans(new, new_shares), _spans(old, old_shares), strict=True)
    counts = [one + other for one, other in zip(new_shares, old_shares, strict=True)]
    return [Shard((*one, *other), count) for (one, other), count in zip(spans, counts, strict=True)]


def _shares(documents: int, parts: int, begin: int = 0) -> tuple[list[int], int]:
    """So many documents for each part; one more for those from ``begin`` on, around the end, that the rest is for.
    Returns also where that ends."""
    least, rest = divmod(documents, parts)
    return [least + ((part - begin) % parts < rest) for part in range(parts)], (begin + rest) % parts


def _spans(batches: Sequence[tuple[int, int]], shares: Sequence[int]) -> Iterator[tuple[Span, ...]]:
    """The spans of each share, in order; ``batches`` are numbers and sizes."""
    left = iter(batches)
    number, size, at = -1, 0, 0
    for share in shares:
        spans: list[Span] = []
        while share > 0:
            if at == size:
                number, size, at = *next(left), 0
            taken = min(share, size - at)
            end = None if at + taken == size else at + taken
            if spans and spans[-1].last == number - 1:  # the one before was taken to its end
                before = spans.pop()
                spans.append(Span(before.first, number, before.begin, end))
            else:
                spans.append(Span(number, number, at, end))
            at, share = at + taken, share - taken  # noqa: PLW2901 - what is left of it
        yield tuple(spans)


def shard_text(address: PlanAddress, shard: Shard) -> str:
    """``<the plan's URI>#<format>:<spans>:<documents>:<digest>``, some hundred characters without a document's name."""
    text = f"{address.uri}#{_FORMAT}:{','.join(map(str, shard.spans))}:{shard.documents}"
    return f"{text}:{_digest(text)}"


def parse_shard(text: str) -> tuple[PlanAddress, Shard]:
    """What :func:`shard_text` wrote. Raises ``ConfigurationError`` for anything else."""
    match = _SHARD.fullmatch(text)
    if match is None:
        raise ConfigurationError("plan", _NOT_A_SHARD)
    if int(match["format"]) != _FORMAT:
        raise ConfigurationError(
            "plan",
            f"is a shard of format {match['format']}, and this airflow-provider-aigen reads format {_FORMAT}: install "
            "one version on all workers, then clear the task that plans",
        )
    spans = [_SPAN.fullmatch(span) for span in match["spans"].split(",")]
    if match["digest"] != _digest(text.rpartition(":")[0]) or not all(spans):
        raise ConfigurationError("plan", _NOT_A_SHARD)
    return PlanAddress.parse(match["plan"]), Shard(
        tuple(
            Span(int(span[1]), int(span[3]), int(span[2] or 0), int(span[4]) if span[4] else None)
            for span in spans
            if span is not None
        ),
        int(match["documents"]),
    )


def _digest(text: str) -> str:
    """It tells a text that was edited by mistake; it is no secret."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
