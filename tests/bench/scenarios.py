"""What is measured: one row per scenario."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE = Path(__file__).parent / "scenarios"

# Draft 06 and RFC 3880 alike but for the namespace, which only the RFC has.
SCRIPT = """\
<?xml version="1.0" encoding="UTF-8"?>
<{cpl}>
 <incoming>
  <address-switch field="origin" subfield="user">
   <address is="telemarketer"><reject status="reject"/></address>
   <otherwise>
    <lookup source="registration">
     <success><proxy/></success>
     <notfound><reject status="notfound"/></notfound>
    </lookup>
   </otherwise>
  </address-switch>
 </incoming>
</cpl>
"""
SCRIPT_RFC: Final = SCRIPT.format(cpl='cpl xmlns="urn:ietf:params:xml:ns:cpl"')
SCRIPT_DRAFT: Final = SCRIPT.format(cpl="cpl")

ALICE_AND_BOB: Final = (("alice", "secret-a"), ("bob", "secret-b"))
MANY: Final = tuple((f"user{number}", f"secret-of-{number}") for number in range(100))
MORE: Final = tuple((f"user{number}", f"secret-of-{number}") for number in range(1000))


@dataclass(frozen=True)
class Scenario:
    """One kind of operation. `operations`: how many of them one run of the SIPp scenario makes."""

    name: str
    title: str
    caller: str  # file of the SIPp scenario that makes the load
    called: str = ""  # file of the one that is rung, if any
    operations: int = 1
    durable: bool = False  # with digest, written to the database before the answer
    cpl: bool = False  # bob has a script
    users: tuple[tuple[str, str], ...] = ALICE_AND_BOB
    must: float | None = None  # budget: CPU as a ratio to Kamailio's
    aim: float | None = None
    calls: int = 8000  # runs of the SIPp scenario in one round
    together: int = 40  # runs under way at once, at saturation
    own: bool = False  # the load is `registering`'s, not SIPp's
    kept: bool = False  # its phones go on with the nonce they have


SCENARIOS: Final = {
    row.name: row
    for row in (
        Scenario("options", "OPTIONS", "options.xml", must=4, aim=2, calls=30000),
        Scenario("register", "REGISTER, memory", "register.xml", must=4, aim=2, calls=30000),
        Scenario("digest", "REGISTER, 401, digest, durable", "register_digest.xml", durable=True, users=MANY,
                 must=1, aim=0.5),
        Scenario("challenge", "REGISTER, 401, digest, durable, 1,000 users", "", durable=True, users=MORE, own=True,
                 must=1, aim=0.5),
        Scenario("refresh", "REGISTER, kept nonce, durable", "", durable=True, users=MORE, own=True, kept=True,
                 must=1, aim=0.5),
        Scenario("alone", "REGISTER, kept nonce, durable, one after another", "", durable=True, users=MORE, own=True,
                 kept=True, calls=3000, together=1, must=1, aim=0.5),
        Scenario("call", "call", "call_uac.xml", "call_uas.xml", must=2.5, aim=1.5),
        Scenario("cpl", "call with a CPL script", "call_uac.xml", "call_uas.xml", cpl=True, must=1, aim=0.6),
        Scenario("dialog", "request in a dialog", "dialog_uac.xml", "dialog_uas.xml", operations=100, calls=300,
                 together=20, must=2.5, aim=1.5),
    )
}  # fmt: skip
