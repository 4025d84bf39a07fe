"""Kamailio as another proxy on the way: registrar in memory, loose routing, forking to all of a user's contacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests import wire
from tests.bench.kamailio import PROGRAM, modules_directory
from tests.running import HERE, Child, free_port

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
debug=0
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
{listen}
mpath="{modules}"
{loads}
modparam("rr", "enable_full_lr", 1)
modparam("usrloc", "db_mode", 0)
{more}
request_route {{
    if (!mf_process_maxfwd_header("70")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK") && t_check_trans()) {{ t_relay(); exit; }}
        if (!is_method("ACK")) sl_send_reply("404", "Not Here");
        exit;
    }}
    t_check_trans();
    if (is_method("OPTIONS") && $rU == $null) {{ sl_send_reply("200", "OK"); exit; }}
    if (is_method("REGISTER")) {{ save("location"); exit; }}
    record_route();
    if (!lookup("location")) {{ sl_send_reply("480", "Temporarily Unavailable"); exit; }}
    if (!t_relay()) sl_reply_error();
}}
"""
MODULES = ("kex", "tm", "tmx", "sl", "rr", "pv", "maxfwd", "textops", "siputils", "usrloc", "registrar")


class Kamailio:
    """One Kamailio on a port of UDP and TCP, ready."""

    def __init__(self, directory: Path) -> None:
        assert PROGRAM is not None, "the tests need kamailio (Debian and Ubuntu: apt-get install kamailio)"
        directory.mkdir()
        self.port = free_port()
        config = directory / "kamailio.cfg"
        listen = [f"listen={transport}:{HERE}:{self.port}" for transport in ("udp", "tcp")]
        config.write_text(
            CONFIG.format(
                listen="\n".join(listen),
                modules=modules_directory(),
                loads="\n".join(f'loadmodule "{name}.so"' for name in MODULES),
                more="",
            )
        )
        self.child = Child(
            [PROGRAM, "-DD", "-E", "-f", config, "-m", "64", "-M", "8", "-Y", directory], name="kamailio", cwd=directory
        )
        wire.wait_until_answering(self.port, self.child)

    def stop(self) -> None:
        alive = self.child.alive
        self.child.stop()
        assert alive, self.child.output
