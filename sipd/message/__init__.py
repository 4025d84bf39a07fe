"""SIP messages: parse, read, compose, frame (RFC 3261 §7, §8, §18-20, §25)."""

from __future__ import annotations

from sipd.message.auth import AuthParams, parse_auth
from sipd.message.compose import Draft, response_to
from sipd.message.framing import PING, Framer
from sipd.message.grammar import Params, find_param, is_ipv6, parse_params, quote, split_list, unquote, write_params
from sipd.message.headers import canonical_name
from sipd.message.message import Message, Request, Response
from sipd.message.parse import parse
from sipd.message.readers import read_parties
from sipd.message.status import STATUS
from sipd.message.uri import Uri, escaped_user, host_key, is_address, parse_uri, sip_uri
from sipd.message.values import (
    Address,
    CSeq,
    Via,
    expires_from_text,
    media_type,
    parse_address,
    parse_cseq,
    parse_route,
    parse_via,
    q_from_text,
    q_to_text,
)

__all__ = [
    "PING",
    "STATUS",
    "Address",
    "AuthParams",
    "CSeq",
    "Draft",
    "Framer",
    "Message",
    "Params",
    "Request",
    "Response",
    "Uri",
    "Via",
    "canonical_name",
    "escaped_user",
    "expires_from_text",
    "find_param",
    "host_key",
    "is_address",
    "is_ipv6",
    "media_type",
    "parse",
    "parse_address",
    "parse_auth",
    "parse_cseq",
    "parse_params",
    "parse_route",
    "parse_uri",
    "parse_via",
    "q_from_text",
    "q_to_text",
    "quote",
    "read_parties",
    "response_to",
    "sip_uri",
    "split_list",
    "unquote",
    "write_params",
]
