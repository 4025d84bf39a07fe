"""User location: who is registered where."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sipd.control.verbs.base import Arguments, Parameter, Plain, Verb
from sipd.control.verbs.names import known_user

if TYPE_CHECKING:
    from sipd.store import Store


async def show(store: Store, arguments: Arguments) -> Plain:
    """The contacts of one user, or of all."""
    snapshot = await store.load_all()
    address = arguments.optional("address")
    aor = None if address is None else known_user(address, snapshot).aor
    now = time.time()
    return [
        {
            "user": binding.aor,
            "contact": binding.uri,
            "q": binding.q / 1000,
            "expires": round(binding.expires_at - now),
            "received": binding.received,
            "agent": binding.user_agent,
        }
        for binding in sorted(snapshot.bindings)
        if aor in (None, binding.aor) and binding.expires_at > now
    ]


VERBS: Final = (
    Verb(
        "ul",
        "show",
        "contacts that are registered, with the seconds they have left",
        (Parameter("address", "user@domain; none: all users", "optional"),),
        show,
        unmade="nobody is registered",
    ),
)
