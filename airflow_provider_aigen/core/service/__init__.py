# SPDX-License-Identifier: Apache-2.0
"""What the endpoint says, and how it is."""
