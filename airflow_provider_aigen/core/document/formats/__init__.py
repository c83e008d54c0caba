# SPDX-License-Identifier: Apache-2.0
"""The size in pixels from a file's header, a module per family of formats.

Each reader gets the whole file, whose first bytes are known to be its format's. It returns (width, height), or None or
zeros where the header does not tell. Where the file is cut off it may raise ``struct.error`` or ``IndexError``, and
nothing else. Its time is bounded by a constant or grows with the file's length, whatever the bytes are.
"""

Size = tuple[int, int]
