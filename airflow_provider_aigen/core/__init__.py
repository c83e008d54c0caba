# SPDX-License-Identifier: Apache-2.0
"""The rules of the provider, as pure functions over frozen values.

Nothing in this package does I/O, reads a clock or draws a random number, and nothing in it imports anything except the
standard library and itself. To know what happens to a document, read this package and no other.
"""
