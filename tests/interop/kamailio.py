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
enable_tls=yes
{listen}
mpath="{modules}"
{loads}
modparam("rr", "enable_full_lr", 1)
modparam("usrloc", "db_mode", 0)
modparam("registrar", "use_path", 1)
modparam("registrar", "path_mode", 0)
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{certificate}")
modparam("tls", "ca_list", "{authority}")
modparam("tls", "verify_certificate", 1)
modparam("tls", "require_certificate", 1)
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
    if (is_method("REGISTER") && $rd == "{elsewhere}") {{ loose_route(); if (add_path()) t_relay(); exit; }}
    if (is_method("REGISTER")) {{ save("location"); exit; }}
    record_route();
    if (is_present_hf("Route")) {{ loose_route(); t_relay(); exit; }}
    if (!lookup("location")) {{ sl_send_reply("480", "Temporarily Unavailable"); exit; }}
    if (!t_relay()) sl_reply_error();
}}
"""
MODULES = ("tls", "kex", "tm", "tmx", "sl", "rr", "pv", "maxfwd", "textops", "siputils", "usrloc", "path", "registrar")


class Kamailio:
    """One Kamailio on a port of UDP and TCP, and the next one of TLS, ready. It and its peers prove their names.

    A REGISTER for the host `elsewhere` it passes on, with itself in the Path.
    """

    def __init__(self, directory: Path, certificate: Path, authority: Path, elsewhere: str = "localhost") -> None:
        assert PROGRAM is not None, "the tests need kamailio (Debian and Ubuntu: apt-get install kamailio)"
        directory.mkdir()
        self.port = free_port()
        config = directory / "kamailio.cfg"
        listen = [
            f"listen={transport}:{HERE}:{self.port + (transport == 'tls')}" for transport in ("udp", "tcp", "tls")
        ]
        config.write_text(
            CONFIG.format(
                listen="\n".join(listen),
                modules=modules_directory(),
                loads="\n".join(f'loadmodule "{name}.so"' for name in MODULES),
                certificate=certificate,
                authority=authority,
                elsewhere=elsewhere,
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
