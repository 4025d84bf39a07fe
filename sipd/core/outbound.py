"""Phones with several flows: when RFC 5626 rules their bindings (§6), and which flow is tried first (§7)."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from sipd.core.ways import is_direct
from sipd.errors import SipError
from sipd.message import parse_route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sipd.hop import Target
    from sipd.message import Request
    from sipd.rows import Binding

_UUID: Final = "urn:uuid:"


class FirstHopLacksOutbound(SipError):
    """The client wants outbound, and the proxy nearest to it can't do it (RFC 5626 §6, §11.6)."""

    default_status = 439


def supports(request: Request, extension: str) -> bool:
    """Whether the client says that it knows this extension (§20.37)."""
    if "Supported" not in request.names:
        return False
    return any(value.lower() == extension for value in request.values("Supported"))


def rules(request: Request) -> bool:
    """Whether a Contact with instance and reg-id is bound by these two (RFC 5626 §6); asked only where there is one.

    Not where the first hop is another that did not say `ob`: raises 439 for a
    client that supports outbound, else reg-id means nothing.
    """
    if is_direct(request) or _first_hop_knows(request):
        return True
    if supports(request, "outbound"):
        raise FirstHopLacksOutbound
    return False


def _first_hop_knows(request: Request) -> bool:
    """Whether the Path value of the client's first hop says `ob`: the last, or of those who see but one the first."""
    values = request.values("Path") if "Path" in request.names else []
    return bool(values) and any(parse_route(value).uri.param("ob") is not None for value in {values[-1], values[0]})


@lru_cache(4096)
def instance_key(instance: str) -> str:
    """An instance-id for comparing: without <>, a UUID in lower case (RFC 5626 §4.1, RFC 4122 §3)."""
    urn = instance.strip("<>")
    return urn.lower() if urn[: len(_UUID)].lower() == _UUID else urn


def flow_key(instance: str, reg_id: int) -> str:
    """The key of the binding of one flow: instance and reg-id, whatever its Contact is (RFC 5626 §6)."""
    return short_key(f"{reg_id} {instance_key(instance)}")


def short_key(text: str) -> str:
    """16 hex digits that stand for `text`."""
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def one_of_each_instance(
    chosen: Sequence[tuple[Binding, int]], make: Callable[[Binding, int], Target]
) -> Iterable[Target]:
    """Targets, one for each phone: its further contacts are what is tried when that fails (RFC 5626 §7).

    `chosen` are bindings of one address-of-record, each with the number that
    `make` wants beside it. Of outbound flows the best q is first, then the
    latest; of the contacts that a phone left behind when it started again the
    latest (RFC 5627 §6.1).
    """
    groups: dict[str, list[tuple[Binding, int]]] = {}
    for number, pair in enumerate(chosen):
        instance = pair[0].instance
        groups.setdefault(instance_key(instance) if instance else f" {number}", []).append(pair)
    for group in groups.values():
        if len(group) > 1:
            group.sort(key=_first_tried)
        first, *others = (make(*pair) for pair in group)
        yield first._replace(others=tuple(others)) if others else first


def _first_tried(pair: tuple[Binding, int]) -> tuple[int, float]:
    binding = pair[0]
    return -binding.q if binding.reg_id else 0, -binding.refreshed_at
