"""The diagrams show every state and every row of the tables."""

import pytest

from sipd.transaction.draw import dot, edges, main, mermaid
from sipd.transaction.machine import MACHINES


@pytest.mark.parametrize("draw", [mermaid, dot])
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_state_row_and_timer_is_drawn(machine, draw) -> None:
    text = draw(machine)
    for (_, given), (_, actions) in machine.rows.items():
        assert f"{given} / {', '.join(actions) or '-'}" in text
    for state, timers in machine.timers.items():
        assert r"\n".join((state, *timers)) in text
    assert len([line for line in text.splitlines() if "->" in line]) == len(list(edges(machine))) + 1


@pytest.mark.parametrize(
    ("arguments", "status", "start"), [([], 0, "%% INVITE client"), (["dot"], 0, "// INVITE client")]
)
def test_main_prints_all_four(arguments, status, start, capsys) -> None:
    assert main(arguments) == status
    out = capsys.readouterr().out
    assert out.startswith(start)
    assert all(machine.name in out for machine in MACHINES)


def test_main_says_how_to_use_it(capsys) -> None:
    assert main(["png"]) == 2
    assert "usage" in capsys.readouterr().err
