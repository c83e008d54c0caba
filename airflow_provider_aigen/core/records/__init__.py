# SPDX-License-Identifier: Apache-2.0
"""Field rows → one typed row per page: a record schema, and what Thai documents write read as values."""
