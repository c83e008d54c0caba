# SPDX-License-Identifier: Apache-2.0
"""The sentences that a task can fail with, read from the code: what each constructor of an error is given.

A part that is filled in at run time is ``…``. A message that is made elsewhere is looked up: a name by all that the
file assigns to it, a call by all that a function of the file returns. What can't be looked up so fails, loudly.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from airflow_provider_aigen.core import errors

__all__ = ["Sentence", "literals", "sentences"]

PACKAGE = Path(errors.__file__).resolve().parents[1]
# A refused document is no failed task: docs/reference/failures.md has its codes.
KINDS = (errors.PermanentError, errors.TransientError, errors.ReconciliationError)
ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, KINDS)}
FILLED_IN = "…"


class Sentence(NamedTuple):
    error: str
    text: str
    file: str
    line: int


def sentences() -> list[Sentence]:
    """All that the package makes."""
    return [
        sentence
        for path in sorted(PACKAGE.rglob("*.py"))
        for sentence in _File(
            ast.parse(path.read_text(encoding="utf-8")), path.relative_to(PACKAGE).as_posix()
        ).sentences()
    ]


def literals(file: str) -> set[str]:
    """Every text that stands in a file of the package, except docstrings and the parts of f-strings."""
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    wholes = [node for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr)]
    parts = {id(part) for whole in wholes if isinstance(whole, ast.JoinedStr) for part in ast.walk(whole)}
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        _template(node)
        for node in wholes
        if isinstance(node, ast.JoinedStr)
        or (isinstance(node.value, str) and id(node) not in docstrings and id(node) not in parts)
    }


def _template(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "".join(str(part.value) if isinstance(part, ast.Constant) else FILLED_IN for part in node.values)


class _File:
    def __init__(self, tree: ast.Module, name: str) -> None:
        self._tree = tree
        self._name = name
        self._functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    def sentences(self) -> Iterator[Sentence]:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
                for text in self._message(node):
                    yield Sentence(node.func.id, text, self._name, node.lineno)

    def _message(self, call: ast.Call) -> list[str]:
        if not issubclass(getattr(errors, call.func.id), errors.ConfigurationError):  # type: ignore[attr-defined]
            return self._texts(call.args[0])
        parameter, problem = call.args
        named = self._texts(parameter) if isinstance(parameter, ast.Constant | ast.JoinedStr) else [FILLED_IN]
        return [f"{name}: {text}" for name in named for text in self._texts(problem)]

    def _texts(self, node: ast.expr) -> list[str]:
        match node:
            case ast.Constant(value=str()) | ast.JoinedStr():
                return [_template(node)]
            case ast.BinOp(left=left, op=ast.Add()):
                return self._texts(left)
            case ast.Name(id=name):
                return [text for value in self._assigned(name, node.lineno) for text in self._texts(value)]
            case ast.Call(func=ast.Name(id=name)):
                return [text for value in self._returned(name) for text in self._texts(value)]
        msg = f"{self._name}:{node.lineno}: this message is made in a way that the test can't follow"
        raise AssertionError(msg)

    def _assigned(self, name: str, line: int) -> list[ast.expr]:
        """In the function around the line, else in the module."""
        inner = [node for node in self._functions if node.lineno <= line <= (node.end_lineno or 0)]
        for scope in (*reversed(inner), self._tree):
            found = [
                node.value
                for node in ast.walk(scope)
                if isinstance(node, ast.Assign) and any(getattr(target, "id", None) == name for target in node.targets)
            ]
            if found:
                return found
        msg = f"{self._name}:{line}: nothing is assigned to {name}"
        raise AssertionError(msg)

    def _returned(self, name: str) -> list[ast.expr]:
        [function] = [node for node in self._functions if node.name == name]
        return [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
