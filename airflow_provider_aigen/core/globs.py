# SPDX-License-Identifier: Apache-2.0
"""Globs over S3 keys: what users write as ``source`` (:mod:`.uris`).

``*``, ``?``, ``[abc]`` and ``[!a]`` stay within a folder, ``**`` does not, and ``**/`` is any number of folders, also
none. ``{jpg,png}`` is one of these, and may be nested. ``(?i)`` ignores case from there on. A character in brackets is
itself: ``[[]``, ``[*]``, ``[{]``. A glob, or an alternative, that ends with ``/`` means all that is in the folders that
it matches.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from airflow_provider_aigen.core.errors import ConfigurationError

__all__ = ["parse"]

_WILDCARD = re.compile(r"[*?\[{]")
_IGNORE_CASE = "(?i)"
_MOST_ALTERNATIVES = 100


@lru_cache(maxsize=32)
def parse(path: str) -> tuple[str, re.Pattern[str] | None]:
    """What every key that ``path`` matches begins with, and its expression; None where ``path`` has no wildcard but is
    that text itself. Raises ``ConfigurationError`` for a range that runs backwards, and for too many
    alternatives."""
    if not _WILDCARD.search(path):
        return path, None
    alternatives = _alternatives(path)
    literals = [_literal(glob) for glob in alternatives]
    if len(alternatives) == 1 and literals[0][1]:
        return literals[0][0], None
    prefix = _common_beginning([literal for literal, _ in literals])
    expressions = [_expression(glob + "**" if glob.endswith("/") else glob) for glob in alternatives]
    return prefix, re.compile("|".join(expressions), re.DOTALL)


def _alternatives(glob: str) -> list[str]:
    """The globs without braces that ``glob`` stands for. Braces without a comma in them are themselves."""
    done: list[str] = []
    waiting = [glob]
    while waiting:
        options = _first_braces(one := waiting.pop(0))
        if options is None:
            done.append(one)
        else:
            waiting[:0] = options
        if len(done) + len(waiting) > _MOST_ALTERNATIVES:
            raise ConfigurationError("source", f"has more than {_MOST_ALTERNATIVES} alternatives in braces")
    return done


def _first_braces(glob: str) -> list[str] | None:
    """One glob for each option of the first braces that have a comma; None where there are none."""
    opened: list[tuple[int, list[int]]] = []  # where each open brace stands, and its commas
    found: tuple[int, list[int], int] | None = None
    at = 0
    while at < len(glob):
        if glob[at] == "[" and (inside := _set_at(glob, at)) is not None:
            at = inside[2]
            continue
        if glob[at] == "{":
            opened.append((at, []))
        elif glob[at] == "," and opened:
            opened[-1][1].append(at)
        elif glob[at] == "}" and opened:
            start, commas = opened.pop()
            if commas and (found is None or start < found[0]):
                found = start, commas, at
        at += 1
    if found is None:
        return None
    start, commas, end = found
    edges = [start, *commas, end]
    return [glob[:start] + glob[one + 1 : other] + glob[end + 1 :] for one, other in pairwise(edges)]


def _literal(glob: str) -> tuple[str, bool]:
    """What the glob begins with that has one meaning only, and whether that is all of it."""
    text, at = "", 0
    while at < len(glob):
        if glob[at] in "*?" or glob.startswith(_IGNORE_CASE, at):
            return text, False
        found = _set_at(glob, at) if glob[at] == "[" else None
        if found is None:
            text, at = text + glob[at], at + 1
            continue
        negated, members, at = found
        if negated or len(members) != 1 or members == "/":
            return text, False
        text += members
    return text, True


_ANYTHING = ".*?"
_FOLDERS = "(?:.*?/)??"


def _common_beginning(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    same = (at for at, character in enumerate(first) if last[at : at + 1] != character)
    return first[: next(same, len(first))]


def _expression(glob: str) -> str:
    """One alternative of a glob as a regular expression that does not backtrack over more than two of its wildcards, so
    that no key, however odd, holds up a listing. Raises ``ConfigurationError`` for a bracket range that runs backwards.

    What follows a wildcard up to the next one is matched where it comes first, for good: a later wildcard of the same
    kind or a wider one can make up for any earlier place, so a later place is never needed. Only what follows the last
    wildcard of its kind must be tried at every place, for it has to reach the end of the key.
    """
    groups: list[tuple[str, list[str]]] = [("", [""])]
    at, (glob, ignore_case_from) = 0, _without_flag(glob)
    while at < len(glob):
        if glob[at] == "*":
            stars = len(glob) - at - len(glob[at:].lstrip("*"))
            whole_folders = stars > 1 and glob[at - 1 : at] in ("", "/") and glob[at + stars : at + stars + 1] == "/"
            at += stars + whole_folders
            if stars == 1:
                groups[-1][1].append("")
            elif groups[-1] != (_FOLDERS, [""]) or not whole_folders:
                groups.append((_FOLDERS if whole_folders else _ANYTHING, [""]))
            continue
        ignores_case = at >= ignore_case_from
        fixed, at = _one_character(glob, at)
        groups[-1][1][-1] += f"(?i:{fixed})" if ignores_case else fixed
    rendered = [_render(lead, chunks, last=group == len(groups) - 1) for group, (lead, chunks) in enumerate(groups)]
    return "".join(rendered)


def _without_flag(glob: str) -> tuple[str, int]:
    """The glob without its flags, and from where on case is ignored in it."""
    text, at, ignore_case_from = "", 0, len(glob)
    while at < len(glob):
        if glob.startswith(_IGNORE_CASE, at):
            ignore_case_from = min(ignore_case_from, len(text))
            at += len(_IGNORE_CASE)
            continue
        found = _set_at(glob, at) if glob[at] == "[" else None
        end = found[2] if found else at + 1
        text, at = text + glob[at:end], end
    return text, ignore_case_from


def _render(lead: str, chunks: list[str], *, last: bool) -> str:
    text = lead + chunks[0]
    for number, chunk in enumerate(chunks[1:], start=1):
        text += f"[^/]*{chunk}" if last and number == len(chunks) - 1 else f"(?>[^/]*?{chunk})"
    return text if last else f"(?>{text})"


def _one_character(glob: str, at: int) -> tuple[str, int]:
    """The expression for one character of a key, and where the glob goes on."""
    if glob[at] == "?":
        return "[^/]", at + 1
    if glob[at] != "[":
        return re.escape(glob[at]), at + 1
    found = _set_at(glob, at)
    if found is None:
        return re.escape("["), at + 1
    negated, members, end = found
    return f"(?!/)[{'^' if negated else ''}{_members(members)}]", end


def _set_at(glob: str, at: int) -> tuple[bool, str, int] | None:
    """The set in brackets that begins at ``at``: whether it is negated, its members, and where the glob goes on."""
    negated = glob[at + 1 : at + 2] == "!"
    first = at + 1 + negated
    end = glob.find("]", first + 1)  # a bracket that comes first is a member
    return (negated, glob[first:end], end + 1) if end >= 0 else None


def _members(text: str) -> str:
    members = ""
    at = 0
    while at < len(text):
        if text[at + 1 : at + 2] == "-" and at + 2 < len(text):
            if text[at] > text[at + 2]:
                raise ConfigurationError("source", "has a range in brackets that runs backwards")
            members += f"{re.escape(text[at])}-{re.escape(text[at + 2])}"
            at += 3
        else:
            members += re.escape(text[at])
            at += 1
    return members
