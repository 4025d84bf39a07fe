"""What can keep a phone from doing what it was told."""

from __future__ import annotations


class PhoneError(Exception):
    """A request came to nothing: `method` says which, `status` what the answer was (0: there was none)."""

    def __init__(self, text: str, method: str = "", status: int = 0) -> None:
        super().__init__(text)
        self.text = text
        self.method = method
        self.status = status


class Unanswered(PhoneError):
    """No answer within the time the phone has (§17.1.1.2 timer B, §17.1.2.2 timer F)."""


class NoWay(PhoneError):
    """The far end can't be reached: nobody listens there, or the name is unknown."""


class NoProof(PhoneError):
    """A challenge that can't be answered with what is known of the account (§22.2)."""


class Refused(PhoneError):
    """A final answer that is not the one needed."""
