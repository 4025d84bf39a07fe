"""What can go wrong, as exceptions that know their SIP status.

A fault is raised where it is seen and turned into a response at one place
(`server/dispatch.py`). The text of a `SipError` is our own words and never
holds bytes of the peer: it becomes the reason phrase of the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from sipd.message import Request

Headers = tuple[tuple[str, str], ...]


class SipError(Exception):
    """A fault that is answered with a SIP response.

    `text` is the reason phrase (empty: the status's own, RFC 3261 §21),
    `headers` are further header fields of the answer as (name, value).
    """

    default_status: ClassVar[int] = 500

    def __init__(self, text: str = "", *, status: int | None = None, headers: Headers = ()) -> None:
        super().__init__(text)
        self.text = text
        self.status = self.default_status if status is None else status
        self.headers = headers


class BadSyntax(SipError):
    """The message, or a part of it that we read, is not well-formed (§16.3 step 1).

    `request` is the request as far as it could be read, when it can be
    answered at all: None means that nobody can be told.
    """

    default_status = 400

    def __init__(
        self, text: str = "", *, status: int | None = None, headers: Headers = (), request: Request | None = None
    ) -> None:
        super().__init__(text, status=status, headers=headers)
        self.request = request


class UnsupportedVersion(BadSyntax):
    """The SIP-Version is not 2.0 (§21.5.6)."""

    default_status = 505


class MessageTooLarge(BadSyntax):
    """A line, the head or the body is over its limit (§21.5.7)."""

    default_status = 513


class UnsupportedUriScheme(SipError):
    """The Request-URI has a scheme that this server can't route (§16.3 step 2)."""

    default_status = 416


class TooManyHops(SipError):
    """Max-Forwards reached zero (§16.3 step 3)."""

    default_status = 483


class LoopDetected(SipError):
    """The request came back unchanged (§16.3 step 4, RFC 5393 §4.2)."""

    default_status = 482


class BadExtension(SipError):
    """Proxy-Require or Require names an extension unknown here (§16.3 step 5)."""

    default_status = 420


class Forbidden(SipError):
    """Understood and refused; credentials would not help (§21.4.4)."""

    default_status = 403


class MethodNotAllowed(SipError):
    """Known, and not for this address (§8.2.1); `headers` has the Allow."""

    default_status = 405


class MethodNotImplemented(SipError):
    """No method that we know (§21.5.2)."""

    default_status = 501


class NotFound(SipError):
    """The user does not exist here (§21.4.5)."""

    default_status = 404


class IntervalTooBrief(SipError):
    """A registration shorter than the least we keep (§21.4.17)."""

    default_status = 423


class TemporarilyUnavailable(SipError):
    """The user exists and no device of his is registered (§21.4.18)."""

    default_status = 480


class BadEvent(SipError):
    """An event package that this server has nothing to say of (RFC 6665 §8.3.2)."""

    default_status = 489


class ServiceUnavailable(SipError):
    """Not now: overload, or the database is away (§21.5.4)."""

    default_status = 503


class ScriptError(SipError):
    """A user's script that can't be accepted, or that broke while it ran."""

    default_status = 400


class StoreAway(Exception):
    """The database can't be reached, or refused a transaction for a passing reason: nothing was committed."""


class CommitUnknown(StoreAway):
    """The COMMIT itself failed: whether the changes are stored will be seen when the database is back."""


class SetupError(Exception):
    """The server or a tool can't start: `text` says what is wrong, `hint` what to do."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(f"{text}. {hint}" if hint else text)
        self.text = text
        self.hint = hint
