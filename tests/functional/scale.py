"""How big the tests are: WEFT_TEST_SCALE=small shrinks them for sanitizer builds and valgrind."""

import os

SMALL = os.environ.get("WEFT_TEST_SCALE", "full") == "small"
KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


def scaled(full, small):
    """The size a test should have: `full`, or `small` where every byte costs more."""
    return small if SMALL else full
