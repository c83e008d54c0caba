# SPDX-License-Identifier: Apache-2.0
"""What the S3 client logs: keys of objects, at DEBUG in half a dozen loggers, and in one warning of urllib3.

Airflow's own level may be DEBUG, and a key may hold a plate or a name. So these loggers are raised while a task works,
whatever their levels are, and get back what they had.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_keys"]

# botocore logs what it sends and receives at DEBUG. urllib3 does too, and names the URL whose headers it cannot parse.
_LEVELS = {"boto3": logging.INFO, "botocore": logging.INFO, "urllib3": logging.ERROR}

_guard = threading.Lock()
_users = 0
_before: dict[str, int] = {}


@contextmanager
def without_keys() -> Iterator[None]:
    """A block in which no logger of the S3 client shows a key. Blocks may overlap, in several threads too."""
    global _users  # noqa: PLW0603 - loggers are the process's, so is this
    with _guard:
        _users += 1
        if _users == 1:
            _raise_levels()
    try:
        yield
    finally:
        with _guard:
            _users -= 1
            if not _users:
                _restore_levels()


def _raise_levels() -> None:
    for root, level in _LEVELS.items():
        known = [name for name in logging.root.manager.loggerDict if name.startswith(f"{root}.")]
        for name in (root, *known):
            logger = logging.getLogger(name)
            # One without a level of its own has its parent's.
            if logger.level < level and (name == root or logger.level != logging.NOTSET):
                _before[name] = logger.level
                logger.setLevel(level)


def _restore_levels() -> None:
    for name, level in _before.items():
        logging.getLogger(name).setLevel(level)
    _before.clear()
