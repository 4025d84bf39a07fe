"""Which form of the hot modules runs: the plain one, or the one compiled by mypyc."""

from __future__ import annotations

from typing import Final

from sipd import seal

COMPILED: Final = not seal.__file__.endswith(".py")
"""Whether it is the compiled one."""
