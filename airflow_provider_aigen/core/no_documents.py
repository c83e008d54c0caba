# SPDX-License-Identifier: Apache-2.0
"""Objects that are surely no documents, by the names that systems leave behind: they are skipped and counted.

A name stands here only if no document has it. Everything else is a document, and a dead letter if it cannot be sent: a
scan that was uploaded empty has to show.
"""

from __future__ import annotations

import re

from airflow_provider_aigen.core.models import SourceObject

__all__ = ["is_no_document"]

# Folders whose files are thumbnails, attributes or indexes of others.
_FOLDERS = frozenset(
    {
        "__MACOSX",  # macOS, in a zip
        ".AppleDouble",
        ".DocumentRevisions-V100",
        ".Spotlight-V100",
        ".fseventsd",
        "System Volume Information",  # Windows
        "@eaDir",  # Synology
        ".@__thumb",  # QNAP
    }
)
_NAMES = frozenset({"_SUCCESS", ".localized", ".apdisk", ".LSOverride", ".VolumeIcon.icns", "Icon\r"})
# Written in any case.
_NAMES_IN_LOWER_CASE = frozenset({".ds_store", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"})
_PATTERN = re.compile(
    r"\._.*"  # macOS: attributes of the file of that name
    r"|_(?:started|committed)_(?:vacuum)?[0-9]+"  # Databricks
    r"|\..+\.crc"  # Hadoop: checksums of a file
    r"|~\$.*|\.~lock\..*#",  # office programs: who has a file open
    re.DOTALL,
)
# What keeps a folder that holds nothing else. With something in them they are documents.
_EMPTY_NAMES = frozenset({".keep", ".gitkeep", ".s3keep", ".placeholder", ".emptyFolderPlaceholder", ".bzEmpty"})
_EMPTY_ENDINGS = ("/", "_$folder$")


def is_no_document(listed: SourceObject) -> bool:
    """Whether the object is a folder's marker or a file that a system left behind."""
    *folders, name = listed.key.split("/")
    if listed.size == 0 and (listed.key.endswith(_EMPTY_ENDINGS) or name in _EMPTY_NAMES):
        return True
    if name in _NAMES or name.lower() in _NAMES_IN_LOWER_CASE or _PATTERN.fullmatch(name):
        return True
    return not _FOLDERS.isdisjoint(folders)
