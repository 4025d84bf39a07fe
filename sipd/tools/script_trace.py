"""`sipdctl script trace USER [last|N]`: what a user's script did in his last calls, from the running server."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from sipd.control.verbs import Refusal
from sipd.control.verbs.names import known_user
from sipd.control.verbs.versions import of_number
from sipd.errors import ScriptError, SetupError
from sipd.message import STATUS
from sipd.store import open_store
from sipd.tools.explain import asked, sentence
from sipd.tools.frame import DONE
from sipd.tools.plain import clean
from sipd.tools.where import CLOSING, database_of, rows_of
from sipd.trace import seconds

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from sipd.rows import ScriptVersion
    from sipd.store import DatabaseUrl, Snapshot

HELP: Final = "what a user's script did in his last calls"

COUNT: Final = re.compile(r"[0-9]{1,6}", re.ASCII)
PLACE: Final = re.compile(r".*/(?P<node>[a-z-]+)(?:\[\d+\])? line (?P<line>\d+)")
"""A place as a trace names it: `/cpl/incoming/proxy[1] line 7`."""

NAMES: Final = {"script": "answer", "mail": "mail", "cancel": "cancel", "cpl": "end"}
"""What a step is called that is no node of the script."""


class Step(NamedTuple):
    """One step of a run."""

    after: float  # seconds since the run began
    step: str
    place: str
    saw: str
    chose: str
    output: str

    @classmethod
    def of(cls, plain: Mapping[str, object]) -> Step:
        """From a step as the server tells it."""
        return cls(float(str(plain["after"])), *(str(plain[name]) for name in cls._fields[1:]))


class Told(NamedTuple):
    """One run as the server remembers it."""

    at: float
    call_id: str
    direction: str
    version: int
    caller: str
    called: str
    status: int
    lasted: float | None
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, plain: object) -> Told:
        """From what came through the control socket. Raises SetupError for anything else."""
        try:
            if not isinstance(plain, dict):
                raise TypeError("not an object")
            return cls(
                float(plain["at"]),
                str(plain["call_id"]),
                str(plain["direction"]),
                int(plain["version"]),
                str(plain["caller"]),
                str(plain["called"]),
                int(plain["status"]),
                None if plain["lasted"] is None else float(plain["lasted"]),
                tuple(map(Step.of, plain["steps"])),
            )
        except (KeyError, TypeError, ValueError) as fault:
            raise SetupError(
                "sipd answers in a way that this sipdctl does not know", "Are both of one version?"
            ) from fault


def add_arguments(one: argparse.ArgumentParser) -> None:
    """The arguments of `sipdctl script trace`."""
    one.add_argument("address", metavar="ADDRESS", help="user@domain")
    one.add_argument("count", metavar="COUNT", nargs="?", default="last", help="how many runs; `last` is one")
    one.add_argument("--graph", metavar="FILE", help="draw the script with the way of the last run lit, as SVG")


def run(options: argparse.Namespace) -> int:
    """Print the last runs, oldest first. Raises Refusal when there are none."""
    url = database_of(options)
    rows = rows_of(url)
    user = known_user(options.address, rows).aor
    count = 1 if options.count == "last" else _count(options.count)
    found = asked(options, "script_runs", user=user, count=count)
    if not isinstance(found, list) or not found:
        raise Refusal(f"the server remembers no run of the script of {user}", _why_none(rows, user))
    told = [Told.of(one) for one in found]
    if options.graph is not None:
        draw_to(options.graph, _text_of(url, user, told[-1].version), told[-1])
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=True))
    else:
        print("\n\n".join("\n".join(in_words(user, one)) for one in told))
    return DONE


def draw_to(file: str, text: bytes, told: Told) -> None:
    """Write a picture of the script, with the way of that run lit. Raises SetupError where it can't be written."""
    from sipd.cpl.picture import draw  # here, as it takes a while to load

    lit = [place for step in told.steps for place in (step.place, step.output) if place]
    try:
        Path(file).write_text(draw(text, lit), "utf-8")
    except OSError as error:
        raise SetupError(f"can't write {file}: {error.strerror}") from error
    except ScriptError as error:
        raise Refusal("the script can't be drawn: it is not sound by the rules of today") from error


def _text_of(url: DatabaseUrl, user: str, version: int) -> bytes:
    """That version of the user's script. Raises Refusal when it is not kept any more."""
    store = open_store(url)

    async def load() -> list[ScriptVersion]:
        try:
            await store.open()
            return await store.script_versions(user)
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSING):  # closing is quick or given up
                await store.close()

    return of_number(trio.run(load), str(version), user).text


def in_words(user: str, told: Told) -> list[str]:
    """A run: whose and which, who called whom, a line for each step, and how it ended."""
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(told.at)) + f".{int(told.at * 1000) % 1000:03}"
    lines = [
        f"{user}, {told.direction}, version {told.version}, {clock}",
        f"from {told.caller} to {told.called}, Call-ID {told.call_id}",
    ]
    width = max((len(_node(step)) for step in told.steps), default=0)
    lines += [f"{step.after:9.3f}  {_line(step):>9}  {_node(step):<{width}}  {_said(step)}" for step in told.steps]
    return [clean(line) for line in (*lines, _end(told))]


def _end(told: Told) -> str:
    if told.lasted is None:
        return "it is still under way"
    reason = f"{told.status} {STATUS.get(told.status, '')}".rstrip(" ")
    return f"after {seconds(told.lasted)}: {reason if told.status else 'it ended without an answer'}"


def _node(step: Step) -> str:
    found = PLACE.fullmatch(step.place)
    if found:
        return found["node"]
    return NAMES.get(step.step, step.step)


def _line(step: Step) -> str:
    found = PLACE.fullmatch(step.place)
    return f"line {found['line']}" if found else ""


def _said(step: Step) -> str:
    if step.step in NAMES:  # whose script it is has been said
        return step.chose
    return sentence({"step": step.step, "saw": step.saw, "chose": step.chose})


def _count(text: str) -> int:
    if not COUNT.fullmatch(text) or not int(text):
        raise Refusal(f"not a count of runs: {text!r}", "Write `last`, or a number from 1 on")
    return int(text)


def _why_none(rows: Snapshot, user: str) -> str:
    scripts: Sequence[bool] = [script.enabled for script in rows.scripts if script.aor == user]
    if not scripts:
        return f"Store one with: sipdctl script put {user} FILE"
    if not any(scripts):
        return f"It is switched off: sipdctl script enable {user}"
    return "It remembers the last ones since it was started: sipdctl server show, script_traces"
