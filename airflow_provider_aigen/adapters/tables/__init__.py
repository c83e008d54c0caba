# SPDX-License-Identifier: Apache-2.0
"""What a run leaves for its readers: the Parquet tables and the dead letters."""
