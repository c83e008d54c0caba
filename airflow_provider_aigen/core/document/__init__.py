# SPDX-License-Identifier: Apache-2.0
"""One document: what it is before the call, and what its answer says."""
