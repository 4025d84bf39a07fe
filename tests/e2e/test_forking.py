"""A user with three phones."""

from __future__ import annotations

from tests.e2e.phones import Sipp, registered


def test_first_answer_cancels_the_others(md5_server, tmp_path):
    phones = [
        Sipp(scenario, tmp_path, server=md5_server.port, user="bob").wait_until_listening()
        for scenario in ("ring_until_cancelled", "ring_until_cancelled", "answer_late")
    ]
    for phone in phones:
        registered(md5_server.port, phone, tmp_path)
    caller = Sipp("call_of_many", tmp_path, server=md5_server.port, callee="bob")
    heard = [message for message in caller.finish() if not message.sent]
    *losers, winner = [phone.finish() for phone in phones]

    finals = [message for message in heard if message.start_line.split()[1] >= "200"]
    assert [message.start_line.split()[1] for message in finals] == ["407", "200", "200"], "one final for the INVITE"
    assert any(message.start_line.startswith("BYE") for message in winner)
    for trace in losers:
        requests = [message for message in trace if not message.sent]
        assert [message.start_line.split()[0] for message in requests] == ["INVITE", "CANCEL", "ACK"]
        invite, cancel, ack = requests
        # §9.1, §17.1.1.3: the CANCEL and the ACK of a refusal are of the INVITE's own transaction.
        assert cancel.values("Via") == ack.values("Via") == invite.values("Via")[:1]
        assert cancel.start_line.split()[1] == invite.start_line.split()[1]
