"""The machine's time zone: TZ, /etc/localtime, /etc/timezone, TZDIR; what is wrong is told and means UTC."""

from __future__ import annotations

import zoneinfo
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sipd.cpl import zones
from sipd.store.local_zone import LocalZone, local_zone, use_zone_files

if TYPE_CHECKING:
    from collections.abc import Iterator

NOWHERE = Path("/nowhere")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Europe/Paris", "Europe/Paris"),
        (":Europe/Paris", "Europe/Paris"),
        ("/usr/share/zoneinfo/Europe/Paris", "Europe/Paris"),
        (":/usr/share/zoneinfo/posix/Europe/Paris", "Europe/Paris"),
        ("", "UTC"),
    ],
)
def test_tz_names_the_zone(text, name):
    assert local_zone({"TZ": text}, NOWHERE, NOWHERE) == LocalZone(name)


@pytest.mark.parametrize(
    "text", ["Europe/Pariss", "/etc/passwd", "../../etc/passwd", "CET-1CEST,M3.5.0,M10.5.0/3", "\0"]
)
def test_a_bad_tz_is_told_and_means_utc(text):
    found = local_zone({"TZ": text}, NOWHERE, NOWHERE)
    assert found.name == "UTC"
    assert found.complaint.startswith(f"TZ={text} is no time zone")


@pytest.mark.parametrize("target", ["/usr/share/zoneinfo/Asia/Tokyo", "../usr/share/zoneinfo/Asia/Tokyo"])
def test_localtime_leads_to_the_zone(tmp_path, target):
    link = tmp_path / "localtime"
    link.symlink_to(target)
    assert local_zone({}, link, NOWHERE) == LocalZone("Asia/Tokyo")


def test_a_copied_localtime_leaves_it_to_the_timezone_file(tmp_path):
    (tmp_path / "localtime").write_bytes(b"TZif")
    (tmp_path / "timezone").write_text("America/Bogota\n")
    assert local_zone({}, tmp_path / "localtime", tmp_path / "timezone") == LocalZone("America/Bogota")


def test_nothing_to_be_found_is_told_and_means_utc():
    found = local_zone({}, NOWHERE, NOWHERE)
    assert (found.name, bool(found.complaint)) == ("UTC", True)


@pytest.fixture
def usual_files() -> Iterator[None]:
    usual = zoneinfo.TZPATH
    yield
    zones.use_directories(usual)


@pytest.mark.usefixtures("usual_files")
def test_tzdir_is_looked_at_first_and_the_cache_cleared(tmp_path):
    assert zones.zone_of("Europe/Paris") is not None
    (tmp_path / "Europe").mkdir()
    tokyo = next(Path(path) / "Asia/Tokyo" for path in zoneinfo.TZPATH if (Path(path) / "Asia/Tokyo").exists())
    (tmp_path / "Europe" / "Paris").write_bytes(tokyo.read_bytes())
    (tmp_path / "Own").write_bytes(tokyo.read_bytes())
    use_zone_files({"TZDIR": str(tmp_path)})
    for name in ("Europe/Paris", "Own"):
        zone = zones.zone_of(name)
        assert zone is not None
        instant = zones.instant_of(datetime.fromisoformat("2026-07-01T00:00:00+00:00"))
        assert zone.local(instant) - instant == 9 * 3600
    assert zones.zone_of("Europe/London") is not None, "the usual places come after it"


@pytest.mark.usefixtures("usual_files")
def test_the_tzdata_package_is_the_last_resort(tmp_path):
    zones.use_directories((str(tmp_path),))
    assert zones.zone_of("Europe/Paris") is not None
