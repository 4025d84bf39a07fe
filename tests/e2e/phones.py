"""Two kinds of phone: SIPp, whose every message we write, and baresip, of which we wrote none."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.e2e.house import DOMAIN, USERS
from tests.running import HERE, Child, free_port

if TYPE_CHECKING:
    from types import TracebackType

SCENARIOS = Path(__file__).parent / "scenarios"
DRIVER = Path(__file__).parent / "phone_driver.py"
MARK = re.compile(r"^-{40,} [^\n]*\n(?:UDP|TCP) message (sent|received) [^\n]*\n\n", re.MULTILINE)


class Traced(NamedTuple):
    """One message of a SIPp trace."""

    sent: bool
    text: str

    @property
    def start_line(self) -> str:
        return self.text.split("\n", 1)[0].strip()

    @property
    def body(self) -> str:
        return self.text.partition("\n\n")[2]

    def values(self, name: str) -> list[str]:
        """The values of that header field's lines, in order."""
        head = self.text.partition("\n\n")[0]
        return re.findall(rf"^{name}[ \t]*:[ \t]*(.*?)[ \t]*$", head, re.MULTILINE | re.IGNORECASE)


class Sipp:
    """One run of a scenario file; `keys` fill its [words], `status` its status code. Ends by itself after one call."""

    def __init__(self, scenario: str, directory: Path, *, server: int, user: str = "alice", transport: str = "udp",
                 port: int = 0, status: str = "", **keys: str) -> None:  # fmt: skip
        self.port = port or free_port()
        self.user = user
        self.transport = transport
        name = f"{scenario}-{user}-{self.port}"
        self._trace = directory / f"{name}.messages"
        users = directory / f"{name}.csv"
        # SIPp fills in the keyword of the whole header field only, so that the row has to hold all of it.
        users.write_text(f"SEQUENTIAL\n{user};[authentication username={user} password={USERS[user]}]\n")
        story = SCENARIOS / f"{scenario}.xml"
        if status:  # SIPp takes no word for that
            filled = story.read_text().replace("[status]", status)
            story = directory / f"{name}.xml"
            story.write_text(filled)
        words: list[str | Path] = [
            "sipp", f"{HERE}:{server}", "-sf", story, "-i", HERE, "-p", str(self.port),
            "-mp", str(free_port()), "-t", {"udp": "u1", "tcp": "t1"}[transport], "-inf", users, "-m", "1", "-nostdin",
            "-timeout", "30", "-timeout_error", "-trace_msg", "-message_file", self._trace,
            "-trace_err", "-error_file", directory / f"{name}.errors", "-auth_uri", DOMAIN, "-key", "domain", DOMAIN,
        ]  # fmt: skip
        for key, value in keys.items():
            words += ["-key", key, value]
        self.child = Child(words, name=name, cwd=directory)
        self._errors = directory / f"{name}.errors"

    def finish(self, *, seconds: float = 40.0) -> list[Traced]:
        """All messages, once the scenario has ended as written. Raises AssertionError when it didn't."""
        code = self.child.wait(seconds=seconds)
        messages = self.messages()
        if code:
            errors = self._errors.read_text(errors="replace") if self._errors.exists() else ""
            said = "\n".join(f"{'>>>' if one.sent else '<<<'}\n{one.text}" for one in messages)
            raise AssertionError(f"{self.child.name}: exit {code}\n{errors[-3000:]}\n{said}")
        return messages

    def wait_for_message(self, pattern: str, *, seconds: float = 10.0) -> Traced:
        """The first message whose start line matches, once it is in the trace."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for message in self.messages():
                if re.search(pattern, message.start_line):
                    return message
            self.child.pause()
        raise AssertionError(f"{self.child.name}: no {pattern!r} in {[one.start_line for one in self.messages()]}")

    def wait_until_listening(self) -> Sipp:
        """Itself, once its port is open."""
        self.child.wait_for_port(self.port)
        return self

    def messages(self) -> list[Traced]:
        """The trace so far."""
        if not self._trace.exists():
            return []
        pieces = MARK.split(self._trace.read_text(errors="replace"))
        found = zip(pieces[1::2], pieces[2::2], strict=True)
        return [Traced(way == "sent", text.strip("\n") + "\n\n" * ("\n\n" not in text)) for way, text in found]


def registered(server: int, phone: Sipp, directory: Path) -> list[Traced]:
    """Bind its user to where that phone listens, with digest, over its transport; the trace."""
    contact = f"<sip:{phone.user}@{HERE}:{phone.port};transport={phone.transport}>;expires=600"
    return Sipp("register", directory, server=server, user=phone.user, transport=phone.transport,
                contact=contact).finish()  # fmt: skip


class Baresip:
    """A phone of which we wrote nothing, in a process of its own (see phone_driver.py)."""

    def __init__(
        self, user: str, server: int, *, transport: str = "udp", password: str = "", authorities: Path | None = None
    ) -> None:
        """`server` is the port for that transport; `authorities`: whom it trusts over TLS."""
        self.user = user
        self._seen = self._marks = 0
        proxy = f"sip:{HERE}:{server};transport={transport}"
        self._child = Child(
            [sys.executable, DRIVER, "--user", user, "--password", password or USERS[user], "--domain", DOMAIN,
             "--proxy", proxy, "--transport", transport, "--port", str(free_port()), "--trace",
             *(() if authorities is None else ("--authorities", authorities))],
            name=f"baresip-{user}", stdin=True,
        )  # fmt: skip

    def __enter__(self) -> Baresip:
        self.event("ready")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None and self._child.alive:
            self.do("quit")
            self._child.wait(seconds=10)
        self._child.stop()

    @property
    def trace(self) -> str:
        """All it has said so far, its messages among it: they come by another pipe than its events."""
        self._marks += 1
        self.do("mark", text=f"mark {self._marks} of the trace")
        self._child.wait_for(f"^mark {self._marks} of the trace")
        return self._child.output

    def do(self, what: str, **more: str) -> None:
        """Give it a command."""
        self._child.say(json.dumps({"do": what, **more}))

    def event(self, name: str, *, seconds: float = 15.0) -> dict[str, Any]:
        """The next event of that name, after those already taken."""
        found = self._child.wait_for(rf'^{{"event": "{name}".*', seconds=seconds, since=self._seen)
        self._seen = self._child.lines.index(found[0], self._seen) + 1
        event: dict[str, Any] = json.loads(found[0])
        return event

    def register(self) -> None:
        """Register; raises AssertionError when that fails."""
        self.do("register")
        event = json.loads(self._child.wait_for(r'^{"event": "regist.*', since=self._seen)[0])
        assert event["event"] == "registered", f"{event}\n{self._child.output}"
        self._seen = len(self._child.lines)
