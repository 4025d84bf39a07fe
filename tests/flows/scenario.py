"""SIPp scenarios from a few words: what a phone sends (`>`), awaits (`<`), and what may come before (`?`).

    > INVITE                 a request; `proven` answers the last challenge, `known` one of before, `sdp` has a body
    ? 100                    may come
    < 407                    must come; so with a method
    > ACK                    of the last final response: in the dialog, or of the transaction
    > 180                    a response to the last request; `> 487 INVITE` to the INVITE
    wait 300                 milliseconds
    < ACK at=5060            from here on all goes to that port: the dialog has no route

What is written is the whole phone: SIPp ends with 0 when each of these came to pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.phones import MARK, Traced
from tests.running import HERE, Child, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SDP = """\
v=0
o=phone 53655765 2353687637 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio [media_port] RTP/AVP 0
"""
TIMEOUT = 'timeout="40000"'


class Script:
    """One scenario being written. `keys` fill headers that only some flows have."""

    def __init__(self, words: str, *, aor: str, callee: str, password: str, route: str = "", proofs: Sequence[str] = (),
                 hops: int = 3, retrans: int = 500) -> None:  # fmt: skip
        self.lines = [line.split() for line in words.splitlines() if line.strip()]
        self.aor = aor
        self.callee = callee
        self.password = password
        self.route = route
        self.proofs = list(proofs)  # what each `known` request brings, besides what SIPp makes
        self.hops = hops  # Vias of a request that comes here
        self.retrans = retrans
        self.calls = self.lines[0][0] == ">"
        self.dialog = False
        self.request = ""  # the method of the last one heard
        self.cancelled = False
        self.cseq = 0
        self.branch = 0
        self.invite = (0, 0)  # branch and CSeq of the last
        self.final = 0  # the last final response to an INVITE

    def xml(self) -> str:
        """The scenario."""
        inside = "\n".join(part for line in self.lines for part in self._step(*line))
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="flow">\n{inside}\n</scenario>\n'

    def _step(self, way: str, what: str, *how: str) -> Iterator[str]:
        if way == "wait":
            yield f'<pause milliseconds="{what}"/>'
        elif way == ">":
            yield self._response(what, *how) if what.isdigit() else self._request(what, *how)
        else:
            yield self._recv(way, what, *how)

    def _recv(self, way: str, what: str, at: str = "") -> str:
        optional = ' optional="true"' if way == "?" else ""
        if what.isdigit():
            final = int(what)
            if final >= 200:
                self.final = final
                self.dialog = self.dialog or (final < 300 and self.calls and self.cseq > 0 and not self.cancelled)
            auth = ' auth="true"' if final in (401, 407) else ""
            rrs = ' rrs="true"' if self.calls and final == 200 else ""
            return f'<recv response="{what}"{optional}{auth}{rrs} {TIMEOUT}>{_turn(at)}</recv>'
        self.request = what
        if what == "INVITE" and not self.calls and not self.dialog:
            return f'<recv request="INVITE" rrs="true" {TIMEOUT}>{self._kept()}</recv>'
        return f'<recv request="{what}"{optional} {TIMEOUT}>{_turn(at)}</recv>'

    def _kept(self) -> str:
        """What of the INVITE later messages need: SIPp knows the last message only."""
        wanted = [("From", 1, "caller"), ("To", 1, "called"), ("CSeq", 1, "sequence")]
        wanted += [("Via", at, f"via{at}") for at in range(1, self.hops + 1)]
        kept = "".join(
            f'<ereg regexp=".*" search_in="hdr" header="{name}:" occurrence="{at}" check_it="true" assign_to="{word}"/>'
            for name, at, word in wanted
        )
        named = "".join(f"[${word}]" for _, _, word in wanted)  # SIPp wants each to be used
        return f'<action>{kept}<log message="{named}"/></action>'

    def _request(self, method: str, *how: str) -> str:
        in_dialog = self.dialog
        branch, cseq = self._numbers(method, in_dialog)
        target = "[next_url]" if in_dialog else f"sip:{self.callee}"
        if method == "REGISTER":
            in_dialog, target = False, f"sip:{self.aor.partition('@')[2]}"
        self.cancelled = self.cancelled or method == "CANCEL"
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/[transport] {HERE}:[local_port];branch=z9hG4bK-[pid]-[call_number]-{branch}",
            "Max-Forwards: 70",
            "[routes]" if in_dialog else f"Route: {self.route}" if self.route else "",
            *self._parties(method, in_dialog),
            "Call-ID: [call_id]",
            f"CSeq: {cseq} {method}",
        ]
        if method == "INVITE":
            lines.append(f"Contact: <sip:{self.aor.partition('@')[0]}@{HERE}:[local_port];transport=[transport]>")
        lines += self._extra(how)
        retrans = f' retrans="{self.retrans}"' if method != "ACK" else ""
        return _send("\n".join(line for line in lines if line), "sdp" in how, retrans)

    def _extra(self, how: tuple[str, ...]) -> Iterator[str]:
        for word in how:
            name, equals, value = word.partition("=")
            if equals:
                yield f"{name}: {value}"
        if "known" in how:
            yield self.proofs.pop(0)
        if "proven" in how:
            yield f"[authentication username={self.aor.partition('@')[0]} password={self.password}]"

    def _numbers(self, method: str, in_dialog: bool) -> tuple[int, int]:
        """Branch and CSeq: of the INVITE for its CANCEL and ACK, but a branch of its own for the ACK of a 2xx."""
        if method == "CANCEL" or (method == "ACK" and not in_dialog):
            return self.invite
        self.branch += 1
        if method == "ACK":
            return self.branch, self.invite[1]
        self.cseq += 1
        if method == "INVITE":
            self.invite = (self.branch, self.cseq)
        return self.branch, self.cseq

    def _parties(self, method: str, in_dialog: bool) -> tuple[str, str]:
        if not self.calls:  # the called one's requests: the other way round
            return "From:[$called];tag=[pid]S[call_number]", "To:[$caller]"
        to = f"sip:{self.aor}" if method == "REGISTER" else f"sip:{self.callee}"
        known = in_dialog or method == "ACK"
        return f"From: <sip:{self.aor}>;tag=[pid]C[call_number]", f"To: <{to}>{'[peer_tag_param]' * known}"

    def _response(self, status: str, *how: str) -> str:
        """To the last request; of a callee with his tag and, where they make a dialog, Contact and Record-Route."""
        to_invite, about = "INVITE" in how, self.request
        makes = about == "INVITE" and int(status) < 300
        tagged = self.calls or self.dialog
        lines = [
            f"SIP/2.0 {status} As Told",
            *((f"Via:[$via{at}]" for at in range(1, self.hops + 1)) if to_invite else ("[last_Via:]",)),
            "[last_From:]",
            "[last_To:]" if tagged else "[last_To:];tag=[pid]S[call_number]",
            "[last_Call-ID:]",
            "CSeq:[$sequence]" if to_invite else "[last_CSeq:]",
        ]
        if makes:
            lines += ["[last_Record-Route:]"] * (not tagged)
            lines.append(f"Contact: <sip:{HERE}:[local_port];transport=[transport]>")
            self.dialog = self.dialog or int(status) >= 200
        acked = int(status) >= 200 and (to_invite or about == "INVITE")
        return _send("\n".join(lines), "sdp" in how, ' retrans="500"' if acked else "")


def _turn(at: str) -> str:
    """The action that sends what follows to another port."""
    port = at.removeprefix("at=")
    return f'<action><setdest host="{HERE}" port="{port}" protocol="[transport]"/></action>' if port else ""


def _send(head: str, sdp: bool, retrans: str) -> str:
    body = f"Content-Type: application/sdp\nContent-Length: [len]\n\n{SDP}" if sdp else "Content-Length: 0\n\n"
    return f"<send{retrans}>\n<![CDATA[\n{head}\n{body}\n]]>\n</send>"


class Player:
    """A SIPp that plays a Script once, against `server`."""

    def __init__(self, script: Script, directory: Path, name: str, *, server: int, port: int = 0,
                 transport: str = "udp", more: tuple[str, ...] = ()) -> None:  # fmt: skip
        self.port = port or free_port()
        self.name = name
        stem = directory / f"{name}-{self.port}"
        self._trace, self._errors = stem.with_suffix(".messages"), stem.with_suffix(".errors")
        file = stem.with_suffix(".xml")
        file.write_text(script.xml())
        domain = script.aor.partition("@")[2]
        self.child = Child(
            ["sipp", f"{HERE}:{server}", "-sf", file, "-i", HERE, "-p", str(self.port), "-mp", str(free_port()),
             "-t", {"udp": "u1", "tcp": "t1"}[transport], "-m", "1", "-nostdin", "-timeout", "60", "-timeout_error",
             "-trace_msg", "-message_file", self._trace, "-trace_err", "-error_file", self._errors,
             "-auth_uri", script.callee.partition("@")[2] or domain, *more],
            name=name, cwd=directory,
        )  # fmt: skip

    def listening(self) -> Player:
        """Itself, once its port is open."""
        self.child.wait_for_port(self.port)
        return self

    def finish(self, *, seconds: float = 70, code: int = 0) -> list[Traced]:
        """All messages, once it has ended as written."""
        ended = self.child.wait(seconds=seconds)
        if ended != code:
            errors = self._errors.read_text(errors="replace") if self._errors.exists() else ""
            said = "\n".join(f"{'>>>' if one.sent else '<<<'}\n{one.text}" for one in self.messages())
            raise AssertionError(f"{self.name}: exit {ended}\n{errors[-2000:]}\n{said}\n{self.child.output[-500:]}")
        return self.messages()

    def messages(self) -> list[Traced]:
        """The trace so far."""
        if not self._trace.exists():
            return []
        pieces = MARK.split(self._trace.read_text(errors="replace"))
        found = zip(pieces[1::2], pieces[2::2], strict=True)
        return [Traced(way == "sent", text.strip("\n") + "\n\n" * ("\n\n" not in text)) for way, text in found]


def heard(messages: list[Traced]) -> list[str]:
    """What a phone received, in order: methods and statuses, without 100s and what came twice."""
    words: list[str] = []
    seen: set[str] = set()
    for message in messages:
        first, second = message.start_line.split()[:2]
        word = second if first.startswith("SIP/") else first
        if not message.sent and word != "100" and message.text not in seen:
            words.append(word)
            seen.add(message.text)
    return words
