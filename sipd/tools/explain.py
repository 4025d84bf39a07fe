"""`sipdctl explain CALL-ID|last` and `sipdctl stats`: what the running server remembers, in words."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.control.rpc import ask, control_path_of
from sipd.control.verbs import Refusal
from sipd.errors import SetupError
from sipd.message import STATUS
from sipd.tools.frame import DONE
from sipd.tools.plain import clean
from sipd.tools.where import database_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

EXPLAIN_HELP: Final = "why a call went as it did, from the memory of the running server"
STATS_HELP: Final = "the counters of the running server"

WORDS: Final[dict[tuple[str, str], str]] = {
    ("identify", "challenge"): "{saw} has not proven who he is: asked for credentials",
    ("identify", "stale"): "{saw} used a nonce that is too old: asked again",
    ("identify", "digest"): "the request is from {saw}, proven by digest",
    ("identify", "basic"): "the request is from {saw}, proven by his password as it is (auth=basic)",
    ("identify", "held"): "{saw} was tried too often from there: not looked at for a moment, and asked again",
    ("identify", "unproven"): "{saw} could not prove who he is; the call goes on as nobody's",
    ("identify", "wrong"): "the credentials of {saw} are wrong",
    ("identify", "From is not his"): "{saw} is proven, but From names somebody else: refused",
    ("identify", "digest uri mismatch"): "the credentials of {saw} were made for another URI: refused",
    ("identify", "peer"): "the request is from the peer {saw}: it is not challenged",
    ("identify", "asserted"): "the peer says that it is from {saw}, and is believed",
    ("privacy", "refused"): "the caller wants privacy that can't be given, and says it is critical: {saw}",
    ("register", "commit"): "the contacts of {saw} were stored",
    ("register", "unchanged"): "the contacts of {saw} were told, none was changed",
    ("may_register", "denied"): "{saw}: he may not register for that user",
    ("may_register", "delegate"): "{saw}: he may register for that user",
    ("subscribe", "denied"): "{saw}: he may not see the registrations of that user",
    ("may_relay", "denied"): "{saw} leads out of this server, and the caller may not send there",
    ("find_user", "unknown"): "there is no user {saw}",
    ("find_user", "nobody"): "{saw} names no user",
    ("find_user", "twice"): "the search came to {saw} a second time: a loop",
    ("locate", "proxy"): "{saw} has contacts registered: rung there",
    ("locate", "redirect"): "{saw} has contacts registered: the caller is told them",
    ("locate", "no binding"): "{saw} has no contact registered now",
    ("locate", "none as wanted"): "{saw} has contacts registered, but none as the caller wants it",
    ("forward", "proxy"): "sent on to {saw}",
    ("consult", "incoming"): "{saw} has a script for incoming calls: it is asked",
    ("consult", "outgoing"): "{saw} has a script for outgoing calls: it is asked",
    ("options", "200"): "asked what the server can do",
    ("call", "branches cancelled"): "the caller hung up before an answer: all phones were told",
    ("fork", "follows its contacts"): "a phone answered {saw} with other contacts: these are tried",
}
"""(step, what it chose) -> what that means; `{saw}` is what the step saw."""

SENTENCES: Final[dict[str, str]] = {
    "alias": "{saw} is an alias of {chose}",
    "subscribe": "subscribed to the registrations of {saw}, for {chose}",
    "branch": "{saw}: {chose}",
    "fork": "{saw}: {chose}",
    "refused": "refused with {chose}{reason}",
    "mail": "the mail of the script of {saw}: {chose}",
    "script": "what the script of {saw} rang came to: {chose}",
    "cpl": "{saw}: {chose}",
}
"""Step -> the sentence for whatever it chose, where WORDS has none."""


class Told(NamedTuple):
    """One request as the server remembers it."""

    at: float
    method: str
    request_uri: str
    source: str
    status: int
    trace: tuple[dict[str, str], ...]

    @classmethod
    def of(cls, plain: object) -> Told:
        """From what came through the control socket. Raises SetupError for anything else."""
        try:
            if not isinstance(plain, dict):
                raise TypeError("not an object")
            steps = tuple({name: str(step[name]) for name in ("step", "saw", "chose")} for step in plain["trace"])
            return cls(
                float(plain["at"]),
                str(plain["method"]),
                str(plain["request_uri"]),
                str(plain["source"]),
                int(plain["status"]),
                steps,
            )
        except (KeyError, TypeError, ValueError) as fault:
            raise SetupError(
                "sipd answers in a way that this sipdctl does not know", "Are both of one version?"
            ) from fault


def add_explain_arguments(one: argparse.ArgumentParser) -> None:
    """The argument of `sipdctl explain`."""
    one.add_argument("call", metavar="CALL-ID", help="the Call-ID of the call, or `last` for the last one")


def add_stats_arguments(one: argparse.ArgumentParser) -> None:
    """`sipdctl stats` has no arguments."""


def run_explain(options: argparse.Namespace) -> int:
    """Print what the server remembers of that call. Raises Refusal when it is nothing."""
    found = asked(options, "explain", call=options.call)
    if not isinstance(found, list) or not found:
        what = "any call" if options.call == "last" else f"a call with the Call-ID {options.call}"
        raise Refusal(
            f"the server does not remember {what}", "It keeps the last ones only: sipdctl server show, traces"
        )
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=True))
    else:
        print("\n".join(in_words(str(found[0].get("call_id", "")), [Told.of(one) for one in found])))
    return DONE


def run_stats(options: argparse.Namespace) -> int:
    """Print the counters."""
    found = asked(options, "stats")
    if not isinstance(found, dict):
        raise SetupError("sipd answers in a way that this sipdctl does not know", "Are both of one version?")
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=True))
    else:
        width = max((len(name) for name in found), default=0)
        print("\n".join(f"{name.ljust(width)}  {count:>10}" for name, count in found.items()))
    return DONE


def asked(options: argparse.Namespace, verb: str, **arguments: object) -> object:
    """The answer of the server that runs on the database the options mean. Raises SetupError."""
    url = database_of(options)
    path = control_path_of(url)
    if path is None:
        raise SetupError(f"a server on {url.shown} can't be asked", "Its database is its own: use sqlite:///path/file")
    return ask(path, verb, **arguments)


def in_words(call_id: str, requests: Sequence[Told]) -> list[str]:
    """One block for each request, oldest first, with its steps indented."""
    lines = [f"Call-ID {clean(call_id)}"]
    for told in requests:
        clock = time.strftime("%H:%M:%S", time.localtime(told.at)) + f".{int(told.at * 1000) % 1000:03}"
        status = f"{told.status} {STATUS.get(told.status, '')}".rstrip(" ") if told.status else "no answer was sent"
        lines += ["", clean(f"{clock}  {told.method} {told.request_uri} from {told.source}: {status}")]
        lines += [f"    {clean(name_of(step)):<13} {clean(sentence(step))}" for step in told.trace]
    return lines


def sentence(step: dict[str, str]) -> str:
    """What a step says, in words."""
    words = WORDS.get((step["step"], step["chose"])) or SENTENCES.get(step["step"].partition(" ")[0])
    reason = f" ({step['saw']})" if step["saw"] else ""
    return (words or "{saw}: {chose}").format(saw=step["saw"] or "nobody", chose=step["chose"], reason=reason)


def name_of(step: dict[str, str]) -> str:
    """What a step is called: a node of a script by its line."""
    name, blank, place = step["step"].partition(" ")
    return f"{name} {place[place.rfind('line ') :]}" if blank and "line " in place else step["step"]
