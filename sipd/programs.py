"""The programs that an installation has.

Each sees first that its command line shows no password, and loads what it is
made of after that: until then the list of processes shows the line as typed.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Final

from sipd.hiding import hide_passwords

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED: Final = 130
"""The exit code of who was interrupted, as shells have it."""


def interruptible(program: Callable[[], int]) -> Callable[[], int]:
    """Ctrl-C while a program is still being loaded ends it without a word: it has done nothing yet."""

    def run() -> int:
        try:
            return program()
        except KeyboardInterrupt:
            return INTERRUPTED

    return run


@interruptible
def sipd() -> int:
    """The server."""
    gc.disable()  # until it has started, see `settle_memory`: what it is made of is no garbage
    hide_passwords()
    from sipd.cli import main

    return main()


@interruptible
def sipdctl() -> int:
    """The administrator's tool."""
    hide_passwords()
    from sipd.tools.sipdctl import main

    return main()


@interruptible
def addsipuser() -> int:
    """The tool that adds a user."""
    hide_passwords("-p", "--password")
    from sipd.tools.addsipuser import main

    return main()


@interruptible
def sippasswd() -> int:
    """The tool that changes a password."""
    hide_passwords("-p", "--password")
    from sipd.tools.sippasswd import main

    return main()


@interruptible
def cpl_check() -> int:
    """The tool that looks over scripts."""
    hide_passwords()
    from sipd.tools.cpl_check import main

    return main()
