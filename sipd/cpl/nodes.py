"""The nodes of a compiled script as a run meets them: immutable, linked to what comes next.

Three kinds: a `Step` decides by itself, an `Ask` needs something done and is
told the outcome, an `End` ends the run. What follows is a node, or None for
an output that leads nowhere: the default behaviour of RFC 3880 §10.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from sipd.cpl import words
from sipd.cpl.words import MOST_KEPT, MOST_NAMED, MOST_SHOWN
from sipd.hop import Target
from sipd.script import Log, Lookup, LookupResult, Mail, ProxyResult, ProxyTo, Redirect, Reject
from sipd.trace import NOT_SHOWN, Visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.message import Uri
    from sipd.script import Effect, Facts, Ordering, Result
    from sipd.script import Final as EndOfScript
    from sipd.trace import Trace

Seen = TypeVar("Seen")

PROXYABLE: Final = frozenset({"sip", "sips", "tel"})
"""Schemes of locations a call can be proxied to (§6.1)."""

MAX_LOCATIONS: Final = 20
"""Locations a script may name on one way through it, and the most a redirection may add up to (T50)."""

MAX_LOGS: Final = 20
"""Log entries on one way through a script (T47)."""

MAX_MAILS: Final = 3
"""Mails on one way through a script (T46)."""


class Run:
    """The state of one run: the call, the location set, and what was done so far."""

    __slots__ = ("facts", "modified", "proxied", "targets", "trace")

    def __init__(self, facts: Facts, trace: Trace | None) -> None:
        self.facts = facts
        self.targets: tuple[Target, ...] = ()
        self.modified = False  # a location modifier has run (§10)
        self.proxied = False  # a signalling operation has run (§10)
        self.trace = trace
        if facts.direction == "outgoing":
            self.targets = (Target(facts.destination),)  # §2.3

    def add(self, added: tuple[Target, ...], most: int = 0) -> None:
        """Put locations into the set; one that is there already takes the new priority. `most` 0: no limit."""
        held = {target.uri.text: target for target in self.targets}
        for target in added:
            uri = target.uri
            if held.pop(uri.text, None) is None:
                for text in [text for text, other in held.items() if other.uri.same_as(uri)]:
                    del held[text]
            if not most or len(held) < most:
                held[uri.text] = target
        self.targets = tuple(held.values())


class Node:
    """What all nodes have: where they stand in the script."""

    __slots__ = ("place",)

    def __init__(self, place: str) -> None:
        self.place = place
        """Path and line as the trace names them: `/cpl/incoming/proxy[1] line 7`."""


class Step(Node):
    """A node that needs nobody."""

    __slots__ = ()

    def step(self, run: Run) -> Next:
        """Do it; the next node."""
        raise NotImplementedError


class Ask(Node):
    """A node that has something done."""

    __slots__ = ()

    def ask(self, run: Run) -> Effect | None:
        """What is to be done; None when there is nothing to do: go on with `told(run, None)`."""
        raise NotImplementedError

    def told(self, run: Run, result: Result) -> Next:
        """Take the outcome; the next node."""
        raise NotImplementedError


class End(Node):
    """A node that ends the script."""

    __slots__ = ()

    def end(self, run: Run) -> EndOfScript:
        """How it ends."""
        raise NotImplementedError


Next = Step | Ask | End | None
"""What an output leads to."""


class Output(NamedTuple, Generic[Seen]):
    """One condition of a switch and where it leads."""

    matches: Callable[[Seen], bool]
    following: Next
    label: str  # `address[2] is “bob” (not address[1] is “alice”)`
    step: str  # `address[2]`


class Way(NamedTuple):
    """An output without a condition, and where it leads."""

    following: Next
    label: str
    step: str  # `busy[1]`; empty when the script does not have that output


NO_OUTPUT: Final = Way(None, "no output: default behaviour", "")


class Switch(Step, Generic[Seen]):
    """Every switch (§4): a value of the call, conditions in their order, not-present and otherwise."""

    __slots__ = ("look", "not_present", "otherwise", "outputs", "secret", "variable")

    def __init__(
        self,
        place: str,
        variable: str,
        look: Callable[[Facts], Seen | None],
        outputs: tuple[Output[Seen], ...],
        not_present: Way,
        otherwise: Way,
    ) -> None:
        super().__init__(place)
        self.variable = variable
        self.secret = variable.endswith(" password")  # its value is in no trace
        self.look = look
        self.outputs = outputs
        self.otherwise = otherwise
        # A value that is absent matches no condition, so it does not matter where not-present stands.
        self.not_present = not_present

    def step(self, run: Run) -> Next:
        """The first output that matches."""
        seen = self.look(run.facts)
        chosen: Output[Seen] | Way
        if seen is None:
            chosen = self.not_present
        else:
            for chosen in self.outputs:
                if chosen.matches(seen):
                    break
            else:
                chosen = self.otherwise
        if run.trace is not None:
            kept: object = seen
            if isinstance(seen, str) and (len(seen) > MOST_KEPT or self.secret):
                kept = NOT_SHOWN if self.secret else seen[:MOST_KEPT]
            elif isinstance(seen, frozenset) and len(seen) > MOST_NAMED:
                kept = frozenset((*islice(seen, MOST_NAMED), "…"))
            run.trace.append(Visit(self.place, words.switched, (self.variable, kept, chosen.label), chosen.step))
        return chosen.following


class Location(Step):
    """Add one location (§5.1)."""

    __slots__ = ("clear", "following", "q", "uri")

    def __init__(self, place: str, uri: Uri, q: int, clear: bool, following: Next) -> None:
        super().__init__(place)
        self.uri = uri
        self.q = q
        self.clear = clear
        self.following = following

    def step(self, run: Run) -> Next:
        """Add it."""
        run.modified = True
        target = Target(self.uri, self.q, (), None, "proxy", run.facts.owner)
        if self.clear or not run.targets:
            run.targets = (target,)
        else:
            run.add((target,))
        if run.trace is not None:
            run.trace.append(Visit(self.place, words.added, (self.uri, run.targets[:MOST_SHOWN], len(run.targets))))
        return self.following


class RemoveLocation(Step):
    """Take one location, or all, out of the set (§5.3)."""

    __slots__ = ("following", "uri")

    def __init__(self, place: str, uri: Uri | None, following: Next) -> None:
        super().__init__(place)
        self.uri = uri
        self.following = following

    def step(self, run: Run) -> Next:
        """Take them out."""
        run.modified = True
        uri = self.uri
        run.targets = () if uri is None else tuple(t for t in run.targets if not t.uri.same_as(uri))
        if run.trace is not None:
            run.trace.append(Visit(self.place, words.removed, (uri, run.targets[:MOST_SHOWN], len(run.targets))))
        return self.following


class LookupNode(Ask):
    """Add the registered contacts (§5.2)."""

    __slots__ = ("clear", "effect", "ways")

    def __init__(self, place: str, effect: Lookup, clear: bool, ways: dict[str, Way]) -> None:
        super().__init__(place)
        self.effect = effect
        self.clear = clear
        self.ways = ways

    def ask(self, run: Run) -> Effect | None:
        """Look them up."""
        del run
        return self.effect

    def told(self, run: Run, result: Result) -> Next:
        """Success adds what was found; the set is cleared only when something is added."""
        outcome, took = "failure", None
        if isinstance(result, LookupResult):
            outcome, found, took = result
            if outcome == "success":
                if found:
                    run.modified = True
                    if self.clear or not run.targets:
                        run.targets = found
                    else:
                        run.add(found)
                else:
                    outcome = "notfound"
        way = self.ways.get(outcome, NO_OUTPUT)
        if run.trace is not None:
            seen = (self.effect.source, outcome, way.label, run.targets[:MOST_SHOWN], len(run.targets))
            run.trace.append(Visit(self.place, words.looked_up, seen, way.step, took))
        return way.following


class Proxy(Ask):
    """Ring the location set (§6.1)."""

    __slots__ = ("default", "ordering", "recurse", "timeout", "ways")

    def __init__(
        self, place: str, timeout: float | None, recurse: bool, ordering: Ordering, ways: dict[str, Way]
    ) -> None:
        super().__init__(place)
        self.timeout = timeout
        self.recurse = recurse
        self.ordering = ordering
        self.ways = ways
        self.default = ways.get("default", NO_OUTPUT)

    def ask(self, run: Run) -> Effect | None:
        """Ring them, best priority first; None when there is nobody to ring."""
        run.proxied = True
        targets = run.targets
        for target in targets:
            if target.uri.scheme not in PROXYABLE:
                targets = tuple(t for t in targets if t.uri.scheme in PROXYABLE)
                break
        if not targets:
            return None
        if len(targets) > 1:
            targets = tuple(sorted(targets, key=_best_first))
            if self.ordering == "first-only":
                targets = targets[:1]
        if run.trace is not None:
            run.trace.append(Visit(self.place, words.rang, (self.ordering, targets[:MOST_SHOWN], len(targets))))
        if len(run.targets) == len(targets):
            run.targets = ()
        else:  # used locations leave the set, others stay (§6.1)
            used = set(map(id, targets))
            run.targets = tuple(t for t in run.targets if id(t) not in used)
        return ProxyTo(targets, self.ordering, self.timeout, self.recurse)

    def told(self, run: Run, result: Result) -> Next:
        """Take the outcome's output, or default."""
        outcome, took = "failure", None
        if isinstance(result, ProxyResult):
            outcome, contacts, took = result
            if outcome == "redirection":
                if self.recurse:
                    outcome = "failure"  # with recurse the redirection output is never taken (§6.1)
                else:
                    run.add(contacts, MAX_LOCATIONS)
        way = self.ways.get(outcome, self.default)
        if run.trace is not None:
            seen = (outcome, way.label, run.targets[:MOST_SHOWN], len(run.targets))
            run.trace.append(Visit(self.place, words.rung, seen, way.step, took))
        return way.following


class LogNode(Ask):
    """Write to the owner's log (§7.2)."""

    __slots__ = ("effect", "following")

    def __init__(self, place: str, effect: Log, following: Next) -> None:
        super().__init__(place)
        self.effect = effect
        self.following = following

    def ask(self, run: Run) -> Effect | None:
        """Log it."""
        if run.trace is not None:
            run.trace.append(Visit(self.place, words.logged, self.effect))
        return self.effect

    def told(self, run: Run, result: Result) -> Next:
        """Go on: logging can't fail."""
        del run, result
        return self.following


class MailNode(Ask):
    """Send mail (§7.1)."""

    __slots__ = ("effect", "following")

    def __init__(self, place: str, effect: Mail, following: Next) -> None:
        super().__init__(place)
        self.effect = effect
        self.following = following

    def ask(self, run: Run) -> Effect | None:
        """Send it."""
        if run.trace is not None:
            run.trace.append(Visit(self.place, words.mailed, self.effect))
        return self.effect

    def told(self, run: Run, result: Result) -> Next:
        """Go on: whether mail arrives is not known in time."""
        del run, result
        return self.following


class RedirectNode(End):
    """Send the caller to the location set (§6.2)."""

    __slots__ = ("permanent",)

    def __init__(self, place: str, permanent: bool) -> None:
        super().__init__(place)
        self.permanent = permanent

    def end(self, run: Run) -> EndOfScript:
        """301 or 302, best location first; 404 when the set is empty, as in §10: a redirection must name a place."""
        targets = tuple(sorted(run.targets, key=_best_first)) if len(run.targets) > 1 else run.targets
        if run.trace is not None:
            run.trace.append(Visit(self.place, words.redirected, (self.permanent, targets[:MOST_SHOWN], len(targets))))
        return Redirect(targets, self.permanent) if targets else _NOT_FOUND


class RejectNode(End):
    """Refuse the call (§6.3)."""

    __slots__ = ("final",)

    def __init__(self, place: str, final: Reject) -> None:
        super().__init__(place)
        self.final = final

    def end(self, run: Run) -> EndOfScript:
        """Refuse it."""
        if run.trace is not None:
            run.trace.append(Visit(self.place, words.rejected, self.final))
        return self.final


_NOT_FOUND: Final = Reject(404, "")


def _best_first(target: Target) -> int:
    return -target.q
