# SPDX-License-Identifier: Apache-2.0
"""The parts that a running task is assembled from, and the few of them that parsing a DAG file needs."""
