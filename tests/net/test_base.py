from __future__ import annotations

import trio
import trio.testing

from sipd.net.base import Later


async def test_later_calls_in_order_and_what_they_ask_for_in_the_next_turn(nursery):
    later, called = Later(), []

    def first() -> None:
        called.append("first")
        later.call(lambda: called.append("third"))

    nursery.start_soon(later.run)
    await trio.testing.wait_all_tasks_blocked()
    later.call(first)
    later.call(lambda: called.append("second"))
    assert called == [], "not at once"
    await trio.testing.wait_all_tasks_blocked()
    assert called == ["first", "second", "third"]
