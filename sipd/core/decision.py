"""The answer of policy: what shall happen. Plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sipd.core.preferences import NO_WISHES, Disposition

if TYPE_CHECKING:
    from sipd.cpl import Program
    from sipd.hop import Target
    from sipd.message import Uri
    from sipd.rows import Change
    from sipd.script import Direction


class NonceUsed(NamedTuple):
    """Mark: this nonce-count is spent, by somebody who proved to be this user."""

    nonce: str
    count: int  # type: ignore[assignment]  # tuple.count is not needed here
    user: str


class PasswordSent(NamedTuple):
    """Mark: somebody proved to be this user by Basic."""

    user: str
    source: str


class LogInFailed(NamedTuple):
    """Mark: somebody failed to prove to be this user."""

    username: str  # as written
    source: str
    user: str  # the address-of-record that it means, whether there is such a user or not


class LogInHeld(NamedTuple):
    """Mark: somebody who had failed too often was not looked at."""

    source: str


class UriDiffers(NamedTuple):
    """Mark: credentials were made for another URI than the request has (T12)."""

    source: str
    username: str
    uri: str
    request_uri: str


class Challenged(NamedTuple):
    """Mark: this Call-ID had its one challenge of level `requested`."""

    call_id: str


class ScriptChecked(NamedTuple):
    """Mark: this user has had a script checked, whatever came of it."""

    user: str
    size: int  # bytes
    at: float  # wall-clock seconds


class Registering(NamedTuple):
    """Mark: somebody registers another's address-of-record, as a delegate, or would have liked to (T13, T16)."""

    who: str  # as whom he is known; empty: as nobody here
    aor: str
    allowed: bool


Mark = NonceUsed | PasswordSent | LogInFailed | LogInHeld | UriDiffers | Challenged | ScriptChecked | Registering


class Respond(NamedTuple):
    """Answer with this. `challenge`: without a transaction, nothing is kept (T61)."""

    status: int
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    challenge: bool = False
    marks: tuple[Mark, ...] = ()


class Relay(NamedTuple):
    """Pass on without a transaction: ACK of a 2xx (§16.11)."""

    target: Target
    marks: tuple[Mark, ...] = ()


class Proxy(NamedTuple):
    """Forward to this target set (§16.5).

    `quick`: one target, no search beyond it (in a dialog, or a
    non-INVITE): no task is needed. `owner`: whose bindings they are.
    `disposition`: how the caller wants them tried.
    """

    targets: tuple[Target, ...]
    quick: bool = False
    owner: str | None = None
    disposition: Disposition = NO_WISHES
    marks: tuple[Mark, ...] = ()


class RunScript(NamedTuple):
    """Let this user's script decide; on `Default` the same is asked again with it in `consulted`."""

    program: Program
    owner: str
    direction: Direction
    marks: tuple[Mark, ...] = ()


class Commit(NamedTuple):
    """Make these changes durable, all or none, and only then answer `response`.

    `reads`: the address-of-record whose settled bindings the decision stands on.
    """

    changes: tuple[Change, ...]
    response: Respond
    reads: str
    marks: tuple[Mark, ...] = ()


class Subscribe(NamedTuple):
    """Tell this subscriber what becomes of the registrations of `aor` (RFC 3680); `aor` is empty within a dialog."""

    aor: str
    subscriber: str
    event: str  # value of Event
    contact: Uri
    expires: int  # seconds; 0: tell it once
    proven: bool  # he proved who he is
    marks: tuple[Mark, ...] = ()


Decision = Respond | Relay | Proxy | RunScript | Commit | Subscribe
