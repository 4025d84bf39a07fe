"""What the actions of the tables do: a function each, by kind of transaction.

The state and its timers are set before any of them runs, so a user may call
back into the table from what he is told.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from sipd.message import Request
from sipd.transaction.hop_by_hop import ack_for
from sipd.transaction.machine import (
    ACKED,
    ANSWERED,
    DELIVER,
    DELIVER_LAST,
    DOUBLE,
    DROP,
    ENDED,
    FAILED,
    PASS,
    SEND,
    SEND_ACK,
    SEND_AGAIN,
    SEND_CANCEL,
    SLOW_DOWN,
    TIMED_OUT,
    Action,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sipd.transaction.kinds import ClientPayload, ClientTransaction, ServerPayload, ServerTransaction
    from sipd.transaction.plan import Do


def _deliver(client: ClientTransaction, response: ClientPayload) -> None:
    if client.user is not None and response is not None:
        client.user.response(client, response)


def _deliver_last(client: ClientTransaction, response: ClientPayload) -> None:
    user, client.user = client.user, None
    if user is not None and response is not None:
        user.response(client, response)


def _timed_out(client: ClientTransaction, _: ClientPayload) -> None:
    client.table.counts.timeouts += 1
    user, client.user = client.user, None
    if user is not None:
        user.timed_out(client)


def _failed(client: ClientTransaction, _: ClientPayload) -> None:
    user, client.user = client.user, None
    if user is not None:
        user.transport_failed(client)


def _send_ack(client: ClientTransaction, response: ClientPayload) -> None:
    assert response is not None
    names = response.names
    client.kept = ack_for(client.kept, response.lines[names.index("To")] if "To" in names else None)
    client.flow.send(client.kept)


def _send_cancel(client: ClientTransaction, _: ClientPayload) -> None:
    client.table.send_cancel(client)


def _request_answered(client: ClientTransaction, _: ClientPayload) -> None:
    client.kept = b""


def _send_request_again(client: ClientTransaction, _: ClientPayload) -> None:
    client.table.counts.repeated += 1
    client.flow.send(client.kept)


def _double(transaction: ClientTransaction | ServerTransaction, _: object) -> None:
    """Retransmit after twice the interval, up to T2 where the timer has that bound (§17.1.2.2, §17.2.1)."""
    interval = min(2 * transaction.interval, transaction.plan.ceiling)
    transaction.interval = interval
    transaction.resend_at = transaction.table.clock() + interval


def _slow_down(client: ClientTransaction, _: ClientPayload) -> None:
    """Retransmit after T2: a non-INVITE that has had a provisional (§17.1.2.2)."""
    client.interval = client.plan.t2
    client.resend_at = client.table.clock() + client.interval


def _send(server: ServerTransaction, data: ServerPayload) -> None:
    assert isinstance(data, bytes)
    server.keep(data)
    server.flow.send(data)


def _pass(server: ServerTransaction, data: ServerPayload) -> None:
    assert isinstance(data, bytes)
    server.flow.send(data)


def _send_response_again(server: ServerTransaction, _: ServerPayload) -> None:
    if server.kept:
        server.table.counts.repeated += 1
        server.flow.send(server.kept)


def _answered(server: ServerTransaction, _: ServerPayload) -> None:
    server.drop_request()
    if server.kept:
        server.keep(b"")
    server.table.unanswered -= 1


def _drop(server: ServerTransaction, _: ServerPayload) -> None:
    server.keep(b"")


def _acked(server: ServerTransaction, ack: ServerPayload) -> None:
    assert isinstance(ack, Request)
    if server.user is not None:
        server.user.acked(server, ack)


def _ended(server: ServerTransaction, _: ServerPayload) -> None:
    user, server.user = server.user, None
    if user is not None:
        user.ended(server)


def forget_client(client: ClientTransaction, _: ClientPayload) -> None:
    """Take it out of the table; its timers stop."""
    client.resend_at = client.ends_at = inf
    client.table.forget_client(client)


def forget_server(server: ServerTransaction, _: ServerPayload) -> None:
    """Take it out of the table; its timers stop."""
    server.resend_at = server.ends_at = inf
    server.table.forget_server(server)


def release_client(client: ClientTransaction, _: ClientPayload) -> None:
    """Break the tie with its user, and drop the bytes."""
    client.user = None
    client.kept = b""


def release_server(server: ServerTransaction, _: ServerPayload) -> None:
    """Break the tie with its user, and drop the bytes."""
    server.user = None
    server.keep(b"")


CLIENT_DO: Final[Mapping[Action, Do[ClientPayload]]] = {
    DELIVER: _deliver,
    DELIVER_LAST: _deliver_last,
    TIMED_OUT: _timed_out,
    FAILED: _failed,
    SEND_ACK: _send_ack,
    SEND_CANCEL: _send_cancel,
    SEND_AGAIN: _send_request_again,
    DOUBLE: _double,
    SLOW_DOWN: _slow_down,
    ANSWERED: _request_answered,
}
SERVER_DO: Final[Mapping[Action, Do[ServerPayload]]] = {
    SEND: _send,
    PASS: _pass,
    SEND_AGAIN: _send_response_again,
    DOUBLE: _double,
    ANSWERED: _answered,
    DROP: _drop,
    ACKED: _acked,
    ENDED: _ended,
}
