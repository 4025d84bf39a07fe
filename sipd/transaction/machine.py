"""The four transaction machines as tables, and the one step through them.

A table has a row for each (state, input) that means something: the next state
and what to do, in that order. What means nothing is written down in IGNORED.
RFC 3261 §17.1, §17.2 as RFC 6026 §8 changes it; three inputs are ours:

* CANCEL (§9.1): the user no longer wants an answer. The request goes out once
  a provisional has come; its state then lasts 64*T1 at most, for a server of
  RFC 2543 never answers the INVITE it was told to cancel.
* GIVE UP: there will be no answer (RFC 4320 §4.2); only absorb repetitions.
* TRANSPORT ERROR moves clients only: a server stays where it is (RFC 6026 §8.8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sipd.transaction.timers import (
    CANCEL_TIMEOUT,
    TIMER_A,
    TIMER_B,
    TIMER_D,
    TIMER_E,
    TIMER_F,
    TIMER_G,
    TIMER_H,
    TIMER_I,
    TIMER_J,
    TIMER_K,
    TIMER_L,
    TIMER_M,
    TimerName,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal[
    "calling",
    "called off",
    "trying",
    "proceeding",
    "cancelling",
    "completed",
    "confirmed",
    "accepted",
    "terminated",
]
CALLING: Final = "calling"
CALLED_OFF: Final = "called off"  # Calling, and a CANCEL waits for the first provisional
TRYING: Final = "trying"
PROCEEDING: Final = "proceeding"
CANCELLING: Final = "cancelling"  # Proceeding, and the CANCEL has been sent
COMPLETED: Final = "completed"
CONFIRMED: Final = "confirmed"
ACCEPTED: Final = "accepted"
TERMINATED: Final = "terminated"

Input = Literal["1xx", "2xx", "300-699", "request again", "ACK", "CANCEL", "give up", "transport error"] | TimerName
PROVISIONAL: Final = "1xx"
SUCCESS: Final = "2xx"
REFUSAL: Final = "300-699"
AGAIN: Final = "request again"
ACK: Final = "ACK"
CANCEL: Final = "CANCEL"
GIVE_UP: Final = "give up"
TRANSPORT_ERROR: Final = "transport error"

Action = Literal[
    "response to user",
    "last response to user",
    "timeout to user",
    "failure to user",
    "send ACK",
    "send CANCEL",
    "send again",
    "double the interval",
    "interval T2",
    "send response",
    "pass response",
    "answered",
    "drop response",
    "ACK to user",
    "end to user",
]
DELIVER: Final = "response to user"
DELIVER_LAST: Final = "last response to user"  # nothing more will be told him
TIMED_OUT: Final = "timeout to user"
FAILED: Final = "failure to user"
SEND_ACK: Final = "send ACK"  # and keep it, in place of the INVITE
SEND_CANCEL: Final = "send CANCEL"
SEND_AGAIN: Final = "send again"  # what is kept: the request, the ACK, or the last response
DOUBLE: Final = "double the interval"
SLOW_DOWN: Final = "interval T2"
SEND: Final = "send response"  # and keep it
PASS: Final = "pass response"  # not kept: whoever made it repeats it
ANSWERED: Final = "answered"  # drop the request
DROP: Final = "drop response"
ACKED: Final = "ACK to user"
ENDED: Final = "end to user"

Row = tuple[State, tuple[Action, ...]]
Table = dict[tuple[State, Input], Row]

INVITE_CLIENT: Final[Table] = {  # §17.1.1, RFC 6026 figure 5
    (CALLING, TIMER_A): (CALLING, (SEND_AGAIN, DOUBLE)),
    (CALLING, TIMER_B): (TERMINATED, (TIMED_OUT,)),
    (CALLING, TRANSPORT_ERROR): (TERMINATED, (FAILED,)),
    (CALLING, PROVISIONAL): (PROCEEDING, (DELIVER,)),
    (CALLING, SUCCESS): (ACCEPTED, (ANSWERED, DELIVER)),
    (CALLING, REFUSAL): (COMPLETED, (SEND_ACK, DELIVER_LAST)),
    (CALLING, CANCEL): (CALLED_OFF, ()),
    (CALLED_OFF, TIMER_A): (CALLED_OFF, (SEND_AGAIN, DOUBLE)),
    (CALLED_OFF, TIMER_B): (TERMINATED, (TIMED_OUT,)),
    (CALLED_OFF, TRANSPORT_ERROR): (TERMINATED, (FAILED,)),
    (CALLED_OFF, PROVISIONAL): (CANCELLING, (SEND_CANCEL, DELIVER)),
    (CALLED_OFF, SUCCESS): (ACCEPTED, (ANSWERED, DELIVER)),
    (CALLED_OFF, REFUSAL): (COMPLETED, (SEND_ACK, DELIVER_LAST)),
    (PROCEEDING, PROVISIONAL): (PROCEEDING, (DELIVER,)),
    (PROCEEDING, SUCCESS): (ACCEPTED, (ANSWERED, DELIVER)),
    (PROCEEDING, REFUSAL): (COMPLETED, (SEND_ACK, DELIVER_LAST)),
    (PROCEEDING, CANCEL): (CANCELLING, (SEND_CANCEL,)),
    (PROCEEDING, TRANSPORT_ERROR): (TERMINATED, (FAILED,)),
    (CANCELLING, PROVISIONAL): (CANCELLING, (DELIVER,)),
    (CANCELLING, SUCCESS): (ACCEPTED, (ANSWERED, DELIVER)),
    (CANCELLING, REFUSAL): (COMPLETED, (SEND_ACK, DELIVER_LAST)),
    (CANCELLING, CANCEL_TIMEOUT): (TERMINATED, (TIMED_OUT,)),
    (CANCELLING, TRANSPORT_ERROR): (TERMINATED, (FAILED,)),
    (COMPLETED, REFUSAL): (COMPLETED, (SEND_AGAIN,)),
    (COMPLETED, TIMER_D): (TERMINATED, ()),
    (COMPLETED, TRANSPORT_ERROR): (TERMINATED, ()),  # its user has his final response
    (ACCEPTED, SUCCESS): (ACCEPTED, (DELIVER,)),  # every 2xx goes on (RFC 6026 §7.2)
    (ACCEPTED, TIMER_M): (TERMINATED, ()),
}

NON_INVITE_CLIENT: Final[Table] = {  # §17.1.2
    (TRYING, TIMER_E): (TRYING, (SEND_AGAIN, DOUBLE)),
    (TRYING, TIMER_F): (TERMINATED, (TIMED_OUT,)),
    (TRYING, TRANSPORT_ERROR): (TERMINATED, (FAILED,)),
    (TRYING, PROVISIONAL): (PROCEEDING, (DELIVER,)),
    (TRYING, SUCCESS): (COMPLETED, (ANSWERED, DELIVER_LAST)),
    (TRYING, REFUSAL): (COMPLETED, (ANSWERED, DELIVER_LAST)),
    (PROCEEDING, TIMER_E): (PROCEEDING, (SEND_AGAIN, SLOW_DOWN)),
    (PROCEEDING, TIMER_F): (TERMINATED, (TIMED_OUT,)),
    (PROCEEDING, TRANSPORT_ERROR): (TERMINATED, (FAILED,)),
    (PROCEEDING, PROVISIONAL): (PROCEEDING, (DELIVER,)),
    (PROCEEDING, SUCCESS): (COMPLETED, (ANSWERED, DELIVER_LAST)),
    (PROCEEDING, REFUSAL): (COMPLETED, (ANSWERED, DELIVER_LAST)),
    (COMPLETED, TIMER_K): (TERMINATED, ()),
}

INVITE_SERVER: Final[Table] = {  # §17.2.1, RFC 6026 figure 7
    (PROCEEDING, AGAIN): (PROCEEDING, (SEND_AGAIN,)),
    (PROCEEDING, PROVISIONAL): (PROCEEDING, (SEND,)),
    (PROCEEDING, SUCCESS): (ACCEPTED, (ANSWERED, PASS)),
    (PROCEEDING, REFUSAL): (COMPLETED, (ANSWERED, SEND)),
    (PROCEEDING, GIVE_UP): (TERMINATED, (ANSWERED, ENDED)),
    (COMPLETED, AGAIN): (COMPLETED, (SEND_AGAIN,)),
    (COMPLETED, TIMER_G): (COMPLETED, (SEND_AGAIN, DOUBLE)),
    (COMPLETED, TIMER_H): (TERMINATED, (ENDED,)),
    (COMPLETED, ACK): (CONFIRMED, (DROP,)),
    # A 2xx after a refusal is a call that somebody took: its caller should hear (§16.7 step 5).
    (COMPLETED, SUCCESS): (COMPLETED, (PASS,)),
    (CONFIRMED, SUCCESS): (CONFIRMED, (PASS,)),
    (CONFIRMED, TIMER_I): (TERMINATED, (ENDED,)),
    (ACCEPTED, SUCCESS): (ACCEPTED, (PASS,)),
    (ACCEPTED, ACK): (ACCEPTED, (ACKED,)),
    (ACCEPTED, TIMER_L): (TERMINATED, (ENDED,)),
    (TERMINATED, SUCCESS): (TERMINATED, (PASS,)),  # without state, to where it would have gone (§16.7 step 9)
}

NON_INVITE_SERVER: Final[Table] = {  # §17.2.2
    (TRYING, PROVISIONAL): (PROCEEDING, (SEND,)),
    (TRYING, SUCCESS): (COMPLETED, (ANSWERED, SEND)),
    (TRYING, REFUSAL): (COMPLETED, (ANSWERED, SEND)),
    (TRYING, GIVE_UP): (COMPLETED, (ANSWERED,)),
    (PROCEEDING, AGAIN): (PROCEEDING, (SEND_AGAIN,)),
    (PROCEEDING, PROVISIONAL): (PROCEEDING, (SEND,)),
    (PROCEEDING, SUCCESS): (COMPLETED, (ANSWERED, SEND)),
    (PROCEEDING, REFUSAL): (COMPLETED, (ANSWERED, SEND)),
    (PROCEEDING, GIVE_UP): (COMPLETED, (ANSWERED,)),
    (COMPLETED, AGAIN): (COMPLETED, (SEND_AGAIN,)),
    (COMPLETED, TIMER_J): (TERMINATED, (ENDED,)),
}

StateTimers = dict[State, tuple[TimerName, ...]]
"""The timers that run in each state: what retransmits first, then what ends the state.

Entering a state keeps those it shares with the last one, arms the new ones and drops the rest.
"""

INVITE_CLIENT_TIMERS: Final[StateTimers] = {
    CALLING: (TIMER_A, TIMER_B),
    CALLED_OFF: (TIMER_A, TIMER_B),
    PROCEEDING: (),
    CANCELLING: (CANCEL_TIMEOUT,),
    COMPLETED: (TIMER_D,),
    ACCEPTED: (TIMER_M,),
    TERMINATED: (),
}
NON_INVITE_CLIENT_TIMERS: Final[StateTimers] = {
    TRYING: (TIMER_E, TIMER_F),
    PROCEEDING: (TIMER_E, TIMER_F),
    COMPLETED: (TIMER_K,),
    TERMINATED: (),
}
INVITE_SERVER_TIMERS: Final[StateTimers] = {
    PROCEEDING: (),
    COMPLETED: (TIMER_G, TIMER_H),
    CONFIRMED: (TIMER_I,),
    ACCEPTED: (TIMER_L,),
    TERMINATED: (),
}
NON_INVITE_SERVER_TIMERS: Final[StateTimers] = {
    TRYING: (),
    PROCEEDING: (),
    COMPLETED: (TIMER_J,),
    TERMINATED: (),
}

CLIENT_INPUTS: Final[tuple[Input, ...]] = (PROVISIONAL, SUCCESS, REFUSAL, CANCEL, TRANSPORT_ERROR)
SERVER_INPUTS: Final[tuple[Input, ...]] = (AGAIN, ACK, PROVISIONAL, SUCCESS, REFUSAL, GIVE_UP, TRANSPORT_ERROR)


class Machine(NamedTuple):
    """One of the four: where it starts, what can happen to it, its rows and timers."""

    name: str
    first: State
    inputs: tuple[Input, ...]  # besides the timers
    rows: Table
    timers: StateTimers
    ignored: Mapping[State, tuple[Input, ...]]  # inputs, not timers, that change nothing there


IGNORED: Final[dict[str, dict[State, tuple[Input, ...]]]] = {
    "INVITE client": {
        CALLED_OFF: (CANCEL,),
        CANCELLING: (CANCEL,),  # it is sent once
        COMPLETED: (PROVISIONAL, SUCCESS, CANCEL),
        ACCEPTED: (PROVISIONAL, REFUSAL, CANCEL, TRANSPORT_ERROR),
        TERMINATED: CLIENT_INPUTS,
    },
    "non-INVITE client": {
        TRYING: (CANCEL,),  # only an INVITE can be cancelled (§9.1)
        PROCEEDING: (CANCEL,),
        COMPLETED: CLIENT_INPUTS,
        TERMINATED: CLIENT_INPUTS,
    },
    "INVITE server": {
        PROCEEDING: (ACK, TRANSPORT_ERROR),
        COMPLETED: (PROVISIONAL, REFUSAL, GIVE_UP, TRANSPORT_ERROR),
        CONFIRMED: (AGAIN, ACK, PROVISIONAL, REFUSAL, GIVE_UP, TRANSPORT_ERROR),
        ACCEPTED: (AGAIN, PROVISIONAL, REFUSAL, GIVE_UP, TRANSPORT_ERROR),  # the 2xx comes again by itself
        TERMINATED: (AGAIN, ACK, PROVISIONAL, REFUSAL, GIVE_UP, TRANSPORT_ERROR),
    },
    "non-INVITE server": {
        TRYING: (AGAIN, ACK, TRANSPORT_ERROR),
        PROCEEDING: (ACK, TRANSPORT_ERROR),
        COMPLETED: (ACK, PROVISIONAL, SUCCESS, REFUSAL, GIVE_UP, TRANSPORT_ERROR),  # one final response
        TERMINATED: SERVER_INPUTS,
    },
}

MACHINES: Final = (
    Machine("INVITE client", CALLING, CLIENT_INPUTS, INVITE_CLIENT, INVITE_CLIENT_TIMERS, IGNORED["INVITE client"]),
    Machine(
        "non-INVITE client",
        TRYING,
        CLIENT_INPUTS,
        NON_INVITE_CLIENT,
        NON_INVITE_CLIENT_TIMERS,
        IGNORED["non-INVITE client"],
    ),
    Machine("INVITE server", PROCEEDING, SERVER_INPUTS, INVITE_SERVER, INVITE_SERVER_TIMERS, IGNORED["INVITE server"]),
    Machine(
        "non-INVITE server",
        TRYING,
        SERVER_INPUTS,
        NON_INVITE_SERVER,
        NON_INVITE_SERVER_TIMERS,
        IGNORED["non-INVITE server"],
    ),
)


def step(machine: Machine, state: State, given: Input) -> Row | None:
    """The next state and what to do; None: this input means nothing in this state."""
    return machine.rows.get((state, given))
