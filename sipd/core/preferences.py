"""What a caller asks of the way his request takes: Request-Disposition, Accept-Contact, Reject-Contact (RFC 3841).

They count where we own the domain of the Request-URI (§7.1, §7.2). A wish
never overrides the order that the callee gave by q: it chooses among contacts
of equal q, and can leave contacts out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar

from sipd.core.features import Predicate, Term, features_of, match, predicate
from sipd.errors import BadSyntax
from sipd.message import parse_params

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sipd.message import Request
    from sipd.rows import Binding

MOST_RULES: Final = 20
"""Values of Accept-Contact and Reject-Contact that a request may have (RFC 3841 §11)."""

MOST_FEATURES: Final = 200
"""Parameters that all of them may have together: to read more would take too long."""

WISHES: Final = frozenset({"Accept-Contact", "Reject-Contact"})
ASKED: Final = WISHES | {"Request-Disposition"}
"""Header fields in which a caller asks for something: `ASKED.isdisjoint(names)` is the cheap question."""

BEST: Final = 1000

Candidate = TypeVar("Candidate")

SUBSCRIBES: Final = frozenset({"SUBSCRIBE"})
"""Methods whose Event is a wish too (§7.2.2.2)."""


Order = Literal["", "parallel", "sequential"]


class Disposition(NamedTuple):
    """How a server shall treat the request (§9.1); None and empty: nothing asked. Queueing is left to phones."""

    redirect: bool | None = None  # tell the caller the addresses; False: proxy
    cancel: bool = True  # the other branches when one has answered; False: that is the caller's business
    fork: bool = True  # False: to the best address alone
    recurse: bool | None = None  # ring where a 3xx points; False: pass the 3xx on
    order: Order = ""  # all at once; or each when the one before has failed


NO_WISHES: Final = Disposition()

_DIRECTIVES: Final[Mapping[str, tuple[str, object]]] = {
    "proxy": ("redirect", False),
    "redirect": ("redirect", True),
    "cancel": ("cancel", True),
    "no-cancel": ("cancel", False),
    "fork": ("fork", True),
    "no-fork": ("fork", False),
    "recurse": ("recurse", True),
    "no-recurse": ("recurse", False),
    "parallel": ("order", "parallel"),
    "sequential": ("order", "sequential"),
}


def disposition_of(request: Request) -> Disposition:
    """What Request-Disposition asks. Of two that contradict each other the first counts; unknown ones say nothing."""
    if "Request-Disposition" not in request.names:
        return NO_WISHES
    said: dict[str, object] = {}
    for value in request.values("Request-Disposition"):
        directive = _DIRECTIVES.get(value.strip(" \t").lower())
        if directive is not None:
            said.setdefault(*directive)
    return NO_WISHES._replace(**said)  # type: ignore[arg-type]  # each directive has the type of its field


class Wish(NamedTuple):
    """One value of Accept-Contact."""

    features: Predicate
    require: bool = False
    explicit: bool = False


class Preferences(NamedTuple):
    """The features that a caller wants to reach, or not to reach."""

    accept: tuple[Wish, ...]
    reject: tuple[Predicate, ...] = ()
    implicit: bool = False  # only inferred from the request: it must not leave nobody


def preferences_of(request: Request) -> Preferences:
    """The explicit wishes, else those that the method implies (§7.2.1, §7.2.2). Raises BadSyntax."""
    names = request.names
    if WISHES.isdisjoint(names):
        return _implied(request)
    accepted, rejected = (
        request.values(name) if name in names else () for name in ("Accept-Contact", "Reject-Contact")
    )
    values = (*accepted, *rejected)
    if len(values) > MOST_RULES or sum(value.count(";") for value in values) > MOST_FEATURES:
        raise BadSyntax("Too many caller preferences")
    wishes = [Wish(features, "require" in said, "explicit" in said) for features, said in map(_rule, accepted)]
    unwanted = [features for features, _ in map(_rule, rejected)]
    return Preferences(tuple(wish for wish in wishes if wish.features), tuple(filter(None, unwanted)))


def _rule(value: str) -> tuple[Predicate, frozenset[str]]:
    """The feature set that a value of either header field writes, and the names of all its parameters (§10).

    Without features it says nothing. Raises BadSyntax.
    """
    star, _, rest = value.partition(";")
    if star.strip(" \t") != "*":
        raise BadSyntax("Bad caller preference")
    params = parse_params(";" + rest) if rest else ()
    return predicate(params), frozenset(name for name, _ in params)


def _implied(request: Request) -> Preferences:
    features = {"sip.methods": Term(frozenset({request.method.lower()}))}
    if request.method in SUBSCRIBES and "Event" in request.names:
        package = (request.first("Event") or "").partition(";")[0].strip(" \t")
        if package:
            features["sip.events"] = Term(frozenset({package.lower()}))
    return Preferences((Wish(features, require=True),), implicit=True)


def preferred(
    preferences: Preferences, candidates: Iterable[tuple[Candidate, Mapping[str, Term]]]
) -> list[tuple[Candidate, int]]:
    """Those that the caller wants, each with what he makes of it among those of equal q, in thousandths (§7.2.4).

    Empty when explicit wishes leave nobody: the answer is 480 then. One that
    says nothing of its features is out of this: it stays, with 1000. So does
    all that implied wishes leave: they choose, but put nobody behind another.
    """
    candidates = tuple(candidates)
    judged = [(one, _qa(preferences, features) if features else BEST) for one, features in candidates]
    kept = [(one, BEST if preferences.implicit else qa) for one, qa in judged if qa is not None]
    if not kept and preferences.implicit:
        return [(one, BEST) for one, _ in candidates]
    return kept


def _qa(preferences: Preferences, features: Mapping[str, Term]) -> int | None:
    """The caller's preference for a contact in thousandths, None: discard it (§7.2.4, figure 1)."""
    for unwanted in preferences.reject:
        if all(tag in features for tag in unwanted) and match(unwanted, features):
            return None
    total, count = 0.0, 0
    for wish in preferences.accept:
        if not match(wish.features, features):
            if wish.require:
                return None
            continue
        score = sum(tag in features for tag in wish.features) / len(wish.features)
        if score < 1 and wish.explicit:
            if wish.require:
                return None
            score = 0.0
        total += score
        count += 1
    if not preferences.accept:
        return BEST
    return round(BEST * total / count) if count else 0


def wanted(request: Request, bindings: Sequence[Binding]) -> list[tuple[Binding, int]]:
    """The bindings that the caller wants, by what the phones said of themselves, each with his preference (`qa`)."""
    explicit = not WISHES.isdisjoint(request.names)
    if not explicit and (len(bindings) < 2 or not any(binding.params for binding in bindings)):
        return [(binding, BEST) for binding in bindings]  # what is implied never leaves nobody: all are rung
    return preferred(
        preferences_of(request), [(binding, features_of(binding.params, binding.instance)) for binding in bindings]
    )
