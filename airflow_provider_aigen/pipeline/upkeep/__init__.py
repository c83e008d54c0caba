# SPDX-License-Identifier: Apache-2.0
"""Work on data that is written already, over ports: :mod:`.rebuild`, :mod:`.redrive`."""
