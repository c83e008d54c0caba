# SPDX-License-Identifier: Apache-2.0
"""Is an answer of the family that the tables can hold: a list of pages, each an object of fields (contract, Answer)?

The vendor's older and other documents answer in other shapes. Taken for pages, they would give rows of junk. Such an
answer is paid, so it is kept, and the run stops at it (design §5). What is said of a shape is one of this module's own
phrases, never foreign text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["FIELD_MEMBERS", "UnknownShape", "check_pages", "check_shape", "has_field", "is_field", "is_the_vendors"]

FIELD_MEMBERS = frozenset({"value", "confidence", "bboxes", "bboxes_norm"})
"""The members of a field object. What has one of them is a field, whatever else it has."""

# Members of fields and lines of text in all versions of the vendor. What has one itself is no page, unless it is an
# object: then it is a field of that name. A page may have a `confidence` and other plain members beside its fields.
_OF_A_FIELD = frozenset({"value", "bboxes", "bboxes_norm", "bbox", "rect", "rect_norm"})
_OF_THE_VENDOR = frozenset({"status", "error", "error_code", "error_list", "request_id", "response_id"})


class UnknownShape(ValueError):
    """The answer is the vendor's, but its shape is not understood. The message says what stands there."""


def check_shape(document: Mapping[str, Any]) -> None:
    """Raise ``UnknownShape`` for a successful answer whose ``data`` is no list of pages, or is empty while another
    member has the content (``result``, ``table``, …)."""
    data = document.get("data")
    if isinstance(data, list) and data:
        if not all(page is None or isinstance(page, Mapping) for page in data):
            raise UnknownShape("`data` is a list of something other than pages")
    elif isinstance(data, Mapping) and data:
        raise UnknownShape("`data` is one object, not a list of pages")
    elif data:
        raise UnknownShape("`data` is a single value, not a list of pages")
    is_empty = not data or (isinstance(data, list) and not any(data))
    if is_empty and not _says_why(document) and (other := _other_content(document)) is not None:
        raise UnknownShape(other)


def check_pages(pages: tuple[Mapping[str, Any], ...]) -> None:
    """Raise ``UnknownShape`` for pages that are no objects of fields."""
    if any(_is_itself_a_field(page) for page in pages):
        raise UnknownShape("`data` is a list of single fields or lines of text, not of pages")
    if any(map(_has_content, pages)) and not any(has_field(member) for page in pages for member in page.values()):
        raise UnknownShape("the pages in `data` have no field object, which has a `value`")


def is_field(value: Any) -> bool:
    """Whether ``value`` is a field object."""
    return isinstance(value, Mapping) and not FIELD_MEMBERS.isdisjoint(value)


def is_the_vendors(document: Mapping[str, Any]) -> bool:
    """Whether something of the vendor's own stands in the answer: the JSON of a gateway has other members."""
    content = [document[name] for name in ("data", "result") if name in document]
    return not _OF_THE_VENDOR.isdisjoint(document) or any(
        value is None or isinstance(value, (Mapping, list)) for value in content
    )


def _says_why(document: Mapping[str, Any]) -> bool:
    """Whether an error object names a code: then it is no wonder that there is no page."""
    errors = document.get("error")
    listed = errors if isinstance(errors, list) else [errors]
    return any(isinstance(error, Mapping) and error.get("code") for error in listed)


def _other_content(document: Mapping[str, Any]) -> str | None:
    if _is_filled(document.get("result")):
        return "the content stands in `result`, not in `data`"
    others = (value for name, value in document.items() if name not in ("data", "error"))
    if any(map(_is_filled, others)):
        return "the content stands in other members than `data`"
    return None


def _is_filled(value: Any) -> bool:
    return isinstance(value, (Mapping, list)) and bool(value)


def _is_itself_a_field(page: Mapping[str, Any]) -> bool:
    """Whether the page is a key/value pair, a field object or lines of text."""
    if isinstance(page.get("key"), str):
        return True
    return any(_has_content(page[name]) and not isinstance(page[name], Mapping) for name in _OF_A_FIELD & page.keys())


def has_field(value: Any) -> bool:
    """Whether a field object stands in ``value``, or is ``value``; depth is bounded by :mod:`.wire`."""
    if isinstance(value, Mapping):
        return is_field(value) or any(map(has_field, value.values()))
    return isinstance(value, list) and any(map(has_field, value))


def _has_content(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_content, value.values()))
    if isinstance(value, list):
        return any(map(_has_content, value))
    return value is not None
