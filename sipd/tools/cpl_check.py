"""cpl-check: says whether a CPL script is sound and, when not, where, why, and how to mend it; tries calls on it."""

from __future__ import annotations

import json
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.cpl import CplError, Terms
from sipd.cpl.convert import convert
from sipd.cpl.picture import draw, way_of
from sipd.cpl.sources import hosts_from_text
from sipd.cpl.terms import MAX_BYTES, operations_of
from sipd.cpl.week import week, zones_of
from sipd.errors import SetupError, StoreAway
from sipd.hiding import hide_passwords
from sipd.server.simulation import simulate
from sipd.tools.checking.checked import Checked, check_file
from sipd.tools.checking.findings import print_count, print_gcc, print_human
from sipd.tools.checking.options import parser
from sipd.tools.checking.paint import Paint, paint_for
from sipd.tools.checking.situation import NOTHING, Situation, owner_asked, situation, utc_now, zone_asked
from sipd.tools.checking.times import zone_name, zone_named
from sipd.tools.checking.told import as_json, in_short, print_simulation, summary_of
from sipd.tools.plain import clean

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from sipd.core.simulated import Simulated
    from sipd.cpl.week import Week
    from sipd.tools.checking.situation import Rows

SOUND: Final = 0
REFUSED: Final = 1
COULD_NOT_RUN: Final = 2


class Result(NamedTuple):
    """One script, and what a call comes to with it."""

    checked: Checked
    situation: Situation | None = None
    told: Simulated | None = None
    week: Week | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command line; the exit status."""
    if argv is None:
        hide_passwords()
    options = parser().parse_args(argv)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 still gets the findings
    if os.environ.get("TZDIR"):
        from sipd.store.local_zone import use_zone_files  # here, as the room takes a while to load

        use_zone_files(os.environ)
    try:
        return _run(options)
    except (SetupError, StoreAway) as error:
        print(f"cpl-check: {clean(str(error))}", file=sys.stderr)
    except BrokenPipeError:  # the reader of our output has gone: nothing to tell, nowhere to tell it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("cpl-check: interrupted", file=sys.stderr)
    return COULD_NOT_RUN


def _run(options: argparse.Namespace) -> int:
    _fits_together(options)
    if options.convert:
        return _convert(options)
    results = [_tried(checked, options, rows) for checked, rows in _scripts(options)]
    _print(results, options)
    if options.graph is not None:
        _draw(results[0], options.graph)
    if any(each.checked.trouble for each in results):
        return COULD_NOT_RUN
    return REFUSED if any(each.checked.errors for each in results) else SOUND


CALL_OPTIONS: Final = ("caller", "to", "at", "header", "registered", "outcome", "lookup", "outgoing")


def _fits_together(options: argparse.Namespace) -> None:
    """Raises SetupError for options that mean nothing together."""
    if not options.files and options.from_db is None:
        raise SetupError("no script is named", "Give a FILE, - for standard input, or --from-db")
    given = [name for name in CALL_OPTIONS if getattr(options, name)]
    if given and not (options.simulate or options.week or (options.convert and given == ["outgoing"])):
        name = {"caller": "from"}.get(given[0], given[0])
        raise SetupError(f"--{name} says something of a call", "It needs --simulate or --week")
    if options.proven and not options.convert:
        raise SetupError("--proven is of no use without --convert")
    if options.output is not None and not options.convert:
        raise SetupError("-o is where --convert writes", "--graph has its file beside it")
    for name in ("graph", "convert"):
        if getattr(options, name) and len(options.files) != 1 and not (name == "graph" and options.user):
            raise SetupError(f"--{name} takes one script")
    if options.from_db is not None and options.files and not options.user:
        raise SetupError("a FILE with --from-db is tried as the script of a user", "Say whose with --user")
    if options.max_bytes is not None and options.max_bytes < 1:
        raise SetupError("--max-bytes is a number from 1 on")


def _scripts(options: argparse.Namespace) -> list[tuple[Checked, Rows]]:
    """The scripts that are meant, each checked, with what is known of the house."""
    if options.from_db is None:
        terms = _terms(options)
        return [(check_file(name, terms), NOTHING) for name in options.files]
    from sipd.tools.checking.stored import stored  # here, as it brings the whole database along
    from sipd.tools.where import database_of, rows_of

    options.database = options.from_db or None
    base = stored(rows_of(database_of(options)), options.server or "")
    rows = base.rows()
    if options.files:
        owner = base.user(owner_asked(options))
        terms = _changed(base.terms(owner), options)
        return [(check_file(name, terms)._replace(owner=owner), rows) for name in options.files]
    owners = [base.user(owner_asked(options))] if options.user else sorted(base.scripts)
    if not owners:
        raise SetupError("no user has a CPL script")
    return [(base.check(owner, _changed(base.terms(owner), options)), rows) for owner in owners]


def _terms(options: argparse.Namespace) -> Terms:
    """What a server permits of which nothing is known but the options."""
    return _changed(Terms(max_bytes=MAX_BYTES, zone=zone_asked(options)), options)


def _changed(terms: Terms, options: argparse.Namespace) -> Terms:
    """These terms, but for what the options say. Raises SetupError."""
    try:
        if options.operations is not None:
            terms = terms._replace(operations=operations_of(options.operations.replace(",", " ")))
        if options.hosts is not None:
            terms = terms._replace(hosts=hosts_from_text(options.hosts))
    except ValueError as error:
        raise SetupError(str(error)) from None
    if options.max_bytes is not None:
        terms = terms._replace(max_bytes=options.max_bytes)
    if options.phone_users:
        terms = terms._replace(phone_users=True)
    if options.time_zone is not None:
        terms = terms._replace(zone=zone_named(options.time_zone).key)
    return terms


def _tried(checked: Checked, options: argparse.Namespace, rows: Rows) -> Result:
    """The script with the call tried on it."""
    if checked.program is None or not (options.simulate or options.week):
        return Result(checked)
    made = situation(options, checked.owner or owner_asked(options), utc_now(), rows)
    house = made.house(checked.program)
    told = simulate(house, made.call, made.behaviours) if options.simulate else None
    grid = None
    if options.week:
        grid = week(made.call.at, lambda at: in_short(simulate(house, made.call._replace(at=at), made.behaviours)))
    return Result(checked, made, told, grid)


def _print(results: Sequence[Result], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps([_as_json(each) for each in results], indent=2))
        return
    paint = paint_for(sys.stdout)
    for each in results:
        if options.graph == "-":
            continue
        if options.format == "gcc":
            print_gcc(each.checked)
        else:
            print_human(each.checked, paint, quiet=options.quiet)
        if each.situation is not None and each.told is not None:
            print_simulation(each.situation, each.told, paint)
        if each.situation is not None and each.week is not None:
            _print_week(each, each.situation, each.week, options.time_zone or "", paint)
    if options.format == "human" and options.graph != "-":
        print_count([each.checked for each in results], quiet=options.quiet)


def _print_week(each: Result, made: Situation, grid: Week, server: str, paint: Paint) -> None:
    print()
    zone = zone_name(made.call.at)
    others = [name for name in zones_of(each.checked.source, server) if name != zone]
    hours = f"{zone}; the script's times are of {', '.join(others)}" if others else zone
    for name, value in [("hours in", hours), *summary_of(made)[1:]]:
        print(f"  {paint('faint', f'{name:<11}')} {clean(value)}")
    print()
    for line in str(grid).splitlines():
        print(clean(line))


def _as_json(each: Result) -> dict[str, object]:
    checked = each.checked
    made: dict[str, object] = {
        "file": checked.name,
        "verdict": checked.verdict,
        "trouble": checked.trouble,
        "errors": [finding._asdict() for finding in checked.errors],
        "warnings": [finding._asdict() for finding in checked.warnings],
    }
    if each.situation is not None and each.told is not None:
        made["simulation"] = as_json(each.situation, each.told)
    if each.week is not None:
        made["week"] = {
            "zone": zone_name(each.situation.call.at) if each.situation is not None else "",
            "days": list(each.week.days),
            "rows": [{"begins": row.begins, "ends": row.ends, "cells": list(row.cells)} for row in each.week.rows],
            "legend": dict(each.week.legend),
        }
    return made


def _draw(each: Result, name: str) -> None:
    """The script as a picture; one that is refused has none."""
    checked, told = each.checked, each.told
    if checked.program is None:
        return
    owner = checked.owner or (each.situation.owner if each.situation is not None else "")
    lit = way_of(walked.entry for walked in told.steps if walked.owner == owner) if told is not None else ()
    _write(name, draw(checked.source, lit).encode())


def _convert(options: argparse.Namespace) -> int:
    """Write the script in the form of RFC 3880, and what is to be known about that."""
    [name] = options.files
    checked = check_file(name, _terms(options))
    if checked.trouble:
        print_gcc(checked)
        return COULD_NOT_RUN
    try:
        made = convert(
            checked.source,
            routed="outgoing" if options.outgoing else "incoming",
            proven=options.proven,
            max_bytes=options.max_bytes or MAX_BYTES,
        )
    except CplError as error:
        refused = Checked(checked.name, checked.source, error.findings, error.warnings)
        print_human(refused, paint_for(sys.stdout), quiet=False)
        return REFUSED
    _write(options.output or "-", made.text)
    for note in made.notes:
        print(clean(f"{checked.name}:{note.line}:{note.column}: {note.kind}: {note.text}"), file=sys.stderr)
    return REFUSED if any(note.kind == "lost" for note in made.notes) else SOUND


def _write(name: str, data: bytes) -> None:
    try:
        if name == "-":
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            Path(name).write_bytes(data)
    except (OSError, ValueError) as error:
        raise SetupError(f"can't write {clean(name)}: {getattr(error, 'strerror', None) or error}") from None


if __name__ == "__main__":
    sys.exit(main())
