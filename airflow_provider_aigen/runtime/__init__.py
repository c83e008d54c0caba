# SPDX-License-Identifier: Apache-2.0
"""What a running task is assembled from."""
