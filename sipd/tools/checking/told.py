"""A simulated call told: step by step, with the value seen and the value wanted, who rings when, and how it ends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sipd.message import STATUS
from sipd.script import Log
from sipd.tools.checking.times import shown
from sipd.tools.plain import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sipd.core.behaviour import Behaviour
    from sipd.core.simulated import Round, Rung, Simulated, Walked
    from sipd.tools.checking.paint import Paint
    from sipd.tools.checking.situation import Situation
    from sipd.trace import Entry

SERVER_STEPS: Final = {
    ("consult", "incoming"): "the script of {} for calls to him is run",
    ("consult", "outgoing"): "the script of {} for calls by him is run",
    ("locate", "proxy"): "as without a script: the phones of {} ring",
    ("locate", "redirect"): "the caller is told where the phones of {} are",
    ("locate", "no binding"): "no phone of {} is registered",
    ("locate", "none as wanted"): "no phone of {} is as the caller wants it",
    ("find_user", "unknown"): "there is no user {}",
    ("find_user", "nobody"): "there is nobody at {}",
    ("find_user", "twice"): "the call came to {} before: a loop",
    ("find_user", "too deep"): "too many users lead to {}, one after another",
    ("forward", "proxy"): "the call goes on to {}",
}
"""What the server's own steps are called, by step and choice."""

_PLACE: Final = re.compile(r"/([a-z-]+)\[[0-9]+\] line ([0-9]+)")
_SET: Final = re.compile(r"(^|; )\{")


def summary_of(situation: Situation) -> list[tuple[str, str]]:
    """What was made up, as names and values."""
    call = situation.call
    lines = [("when", shown(call.at)), ("from", call.caller), ("to", call.to)]
    lines += [("header", f"{name}: {value}") for name, value in call.headers]
    registered = [_with_q(binding.uri, binding.q) for binding in situation.registered] or ["nobody"]
    if situation.made_up:
        registered[0] += "  (made up: see --registered)"
    lines += [("registered", text) for text in registered]
    lines += [("phones do", _row(situation.behaviours.others))]
    lines += [("", f"{uri.text}: {_row(row)}") for uri, row in reversed(situation.behaviours.named)]
    return lines


def print_simulation(situation: Situation, told: Simulated, paint: Paint) -> None:
    """All of it."""
    before = ""
    print()
    for name, value in summary_of(situation):
        head = "" if name == before else name
        print(f"  {paint('faint', f'{head:<11}')} {clean(value)}")
        before = name
    print()
    for line in _path(told, paint):
        print(line)
    print()
    print(paint("bold", clean(ending(told))))
    for uri, _ in situation.behaviours.named:
        if not _was_called(uri.text, told):
            print(f"{paint('warning', 'note:')} {clean(uri.text)} of --outcome was never called")


def ending(told: Simulated) -> str:
    """How the call ends, in a sentence."""
    if told.status < 300:
        return f"{f'After {_seconds(told.at)}' if told.at else 'At once'} {told.answered_by} answers."
    after = f"After {_seconds(told.at)} the" if told.at else "At once the"
    contacts = f" ({', '.join(told.contacts)})" if told.contacts else ""
    what = "is sent elsewhere" if told.status < 400 else "is refused"
    return f"{after} caller {what}: {told.status} {told.reason}{contacts}."


def in_short(told: Simulated) -> str:
    """The same in one line: who rings, and how it ends."""
    parts = []
    for each in told.rounds:
        if not each.rung:
            continue
        until = max(rung.until for rung in each.rung)
        names = [_short(uri) for uri in dict.fromkeys(rung.uri for rung in each.rung)]
        ring = f"rings {', '.join(names[:3])}{' and others' if names[3:] else ''}"
        parts.append(f"{ring} for {_seconds(until - each.at)}" if until > each.at else ring)
    if told.status < 300:
        parts.append(f"{_short(told.answered_by)} answers")
    elif told.status < 400:
        parts.append(f"redirected to {', '.join(_short(contact) for contact in told.contacts)}")
    else:
        parts.append(f"{told.status} {told.reason}")
    return ", ".join(parts)


def node_of(entry: Entry) -> tuple[str, int]:
    """Tag and line of the node that an entry is about; of none an empty tag and 0."""
    found = _PLACE.search(entry.place)
    return (found[1], int(found[2])) if found is not None else ("", 0)


def in_words(walked: Walked) -> tuple[str, str]:
    """What a step saw, and what it chose."""
    entry = walked.entry
    if not walked.owner:
        words = SERVER_STEPS.get((entry.step, entry.chose))
        return (words.format(entry.saw), "") if words is not None else (f"{entry.step} {entry.saw}", entry.chose)
    return _named_set(entry.saw), _named_set(entry.chose)


def _named_set(text: str) -> str:
    return _SET.sub(r"\1locations {", text)


def _path(told: Simulated, paint: Paint) -> Iterator[str]:
    rounds = list(told.rounds)
    several = len({owner for owner, _ in told.ran}) > 1
    begun: list[Round] = []
    owner = ""
    for at, walked in enumerate(told.steps):
        if several and walked.owner and walked.owner != owner:
            owner = walked.owner
            yield f"{'':9}{paint('faint', clean(f'script of {owner}'))}"
        yield from _step(walked, paint, _limit(rounds[0]) if rounds and _begins(rounds[0], walked) else "")
        if rounds and _begins(rounds[0], walked):
            begun.append(rounds.pop(0))
        following = told.steps[at + 1] if at + 1 < len(told.steps) else None
        if following is None or following.owner or following.at > walked.at:  # what the server does comes with it
            while rounds and not rounds[0].place and (following is None or rounds[0].at < following.at):
                begun.append(rounds.pop(0))
            for each in begun:
                yield from _rang(each, paint)
            begun.clear()
    for each in rounds:
        yield from _rang(each, paint)


def _begins(each: Round, walked: Walked) -> bool:
    return bool(each.place) and (each.place, each.at, each.owner) == (walked.entry.place, walked.at, walked.owner)


def _limit(each: Round) -> str:
    return f", for {_seconds(each.timeout)} at most" if each.timeout is not None else ""


def _step(walked: Walked, paint: Paint, limit: str) -> Iterator[str]:
    tag, line = node_of(walked.entry)
    saw, chose = in_words(walked)
    saw = chose if saw == tag else saw.removeprefix(f"{tag} ")
    chose = "" if saw == chose else chose.removesuffix(", after 0 s")
    where = f"line {line}" if line else ""
    what = tag or ("" if walked.owner else "server")
    head = f"{_seconds(walked.at):>7}  {where:<8} {what:<16} "
    yield f"{paint('faint', head[:18])}{paint('bold', head[18:])}{clean(saw)}"
    if chose:
        yield f"{'':{len(head)}}{paint('hint', '→')} {clean(chose)}{limit}"


def _rang(each: Round, paint: Paint) -> Iterator[str]:
    width = min(max((len(rung.uri) for rung in each.rung), default=0), 60)
    for rung in each.rung:
        yield f"{'':37}{clean(rung.uri):<{width}}  {_of(rung, paint)}"
    for uri in each.barred:
        yield f"{'':37}{clean(uri)} is not rung: neither the owner named it, nor may this caller call it"


def _of(rung: Rung, paint: Paint) -> str:
    span = f"{_seconds(rung.at)} to {_seconds(rung.until)}" if rung.until > rung.at else _seconds(rung.at)
    if rung.status < 300:
        return f"{span}: {paint('good', 'answers')}"
    if rung.status == 487 and rung.cancelled_at is not None:
        return f"{span}: cancelled"
    if not rung.heard:
        return f"{span}: nothing is heard of it, 408"
    return f"{span}: {rung.status} {STATUS.get(rung.status, '')}".rstrip()


def _was_called(uri: str, told: Simulated) -> bool:
    return any(rung.uri.startswith(uri) for each in told.rounds for rung in each.rung)


def _row(row: tuple[Behaviour, ...]) -> str:
    return ", then ".join(map(spoken, row))


def spoken(behaviour: Behaviour) -> str:
    """What a phone does, in words."""
    if behaviour.silent:
        return "nothing is heard of it"
    if not behaviour.status:
        return "rings and nobody answers"
    after = f" after {_seconds(behaviour.after)}" if behaviour.after else ""
    if behaviour.status < 300:
        return f"answers{after}" if after else "answers at once"
    if behaviour.contacts:
        return f"redirects to {', '.join(behaviour.contacts)}{after}"
    return f"{behaviour.status} {STATUS.get(behaviour.status, '')}".rstrip() + after


def _with_q(uri: str, q: int) -> str:
    return uri if q == 1000 else f"{uri} q={q / 1000:g}"


def _short(uri: str) -> str:
    """`bob@192.0.2.1` of a URI or a contact."""
    inner = uri.partition("<")[2].partition(">")[0] or uri
    return inner.partition(":")[2].partition(";")[0] if inner.startswith(("sip", "tel")) else inner


def _seconds(seconds: float) -> str:
    return f"{seconds:.4g} s"


def as_json(situation: Situation, told: Simulated) -> dict[str, object]:
    """All of it as plain values."""
    call = situation.call
    return {
        "at": call.at.isoformat(),
        "from": call.caller,
        "to": call.to,
        "owner": situation.owner,
        "headers": [list(header) for header in call.headers],
        "registered": [{"uri": binding.uri, "q": binding.q / 1000} for binding in situation.registered],
        "status": told.status,
        "reason": told.reason,
        "contacts": list(told.contacts),
        "seconds": told.at,
        "answered_by": told.answered_by,
        "scripts": [{"owner": owner, "action": direction} for owner, direction in told.ran],
        "path": [_step_as_json(walked) for walked in told.steps],
        "rounds": [{**each._asdict(), "rung": [rung._asdict() for rung in each.rung]} for each in told.rounds],
        "written": [
            {"seconds": each.at, "owner": each.owner, "log": each.effect.name, "line": each.effect.comment}
            if isinstance(each.effect, Log)
            else {"seconds": each.at, "owner": each.owner, "mail": each.effect._asdict()}
            for each in told.written
        ],
    }


def _step_as_json(walked: Walked) -> dict[str, object]:
    tag, line = node_of(walked.entry)
    saw, chose = in_words(walked)
    entry = walked.entry
    return {
        "seconds": walked.at,
        "owner": walked.owner,
        "node": tag,
        "line": line,
        "place": entry.place,
        "output": entry.output,
        "saw": saw,
        "chose": chose,
    }
