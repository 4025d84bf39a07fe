"""`mailto:` URLs of mail nodes: what they ask for, and what no script may do with them (RFC 6068, RFC 3880 §7.1)."""

from __future__ import annotations

import pytest

from sipd.cpl.mailto import MAX_BODY, MAX_RECIPIENTS, MAX_URL, MAX_VALUE, BadMailto, read_mailto
from sipd.script import Mail

GOOD = [
    ("mailto:jones@example.com", Mail(("jones@example.com",))),
    ("MailTo:jones@example.com", Mail(("jones@example.com",))),
    ("mailto:a@example.com,b@example.com", Mail(("a@example.com", "b@example.com"))),
    ("mailto:?to=a@example.com%2Cb@example.com", Mail(("a@example.com", "b@example.com"))),
    ("mailto:a@example.com?to=b@example.com&cc=c@x", Mail(("a@example.com", "b@example.com"), ("c@x",))),
    ("mailto:j@example.com?subject=Lookup%20failed", Mail(("j@example.com",), subject="Lookup failed")),
    ("mailto:j@example.com?SUBJECT=", Mail(("j@example.com",), subject="")),
    ("mailto:j@example.com?subject=a+b=c", Mail(("j@example.com",), subject="a+b=c")),
    ("mailto:j@example.com?subject=caf%C3%A9", Mail(("j@example.com",), subject="café")),
    ("mailto:j@example.com?body=one%0D%0Atwo%0Athree", Mail(("j@example.com",), body="one\ntwo\nthree")),
    ("mailto:j@example.com?reply-to=me@x", Mail(("j@example.com",), reply_to=("me@x",))),
    ("mailto:j@example.com?from=boss@x&subject=s", Mail(("j@example.com",), subject="s")),
    ("mailto:j@example.com?keywords=cpl", Mail(("j@example.com",), headers=(("Keywords", "cpl"),))),
    # RFC 6068 §6
    ("mailto:gorby%25kremvax@example.com", Mail(("gorby%kremvax@example.com",))),
    ("mailto:unlikely%3Faddress@example.com?subject=x", Mail(("unlikely?address@example.com",), subject="x")),
    ("mailto:Mike%26family@example.org", Mail(("Mike&family@example.org",))),
    ("mailto:%22not%40me%22@example.org", Mail(('"not@me"@example.org',))),
    ("mailto:?cc=%22a%2Cb%22@example.org,c@x", Mail((), ('"a,b"@example.org', "c@x"))),
    ("mailto:user@%E7%B4%8D%E8%B1%86.example.org?cc=a@x", Mail(("user@xn--99zt52a.example.org",), ("a@x",))),
    ("mailto:list@example.org?in-reply-to=%3C3469A91@x.example%3E",
     Mail(("list@example.org",), headers=(("In-Reply-To", "<3469A91@x.example>"),))),
    ("mailto:a@[192.0.2.1]", Mail(("a@[192.0.2.1]",))),
]  # fmt: skip


@pytest.mark.parametrize(("url", "mail"), GOOD, ids=[url for url, _ in GOOD])
def test_a_url_is_read_as_rfc_6068_says(url, mail):
    assert read_mailto(url) == mail


BAD = [
    ("", "not a mailto: URL", "mailto:alice@example.com"),
    ("jones@example.com", "not a mailto: URL", "mailto:jones@example.com"),
    ("sip:jones@example.com", "not a mailto: URL", ""),
    ("mailto:", "nobody", ""),
    ("mailto:?subject=x", "nobody", ""),
    ("mailto:jones", "no mail address", "alice@example.com"),
    ("mailto:a@x,", "no mail address", ""),
    ("mailto:a@x?subject", "no name=value", "&amp;"),
    ("mailto:a@x?subject=a&amp;body=b", "can't be set", "escaped twice"),
    ("mailto:a@x?subject=a&subject=b", "given twice", ""),
    ("mailto:a@x?subject=100%", "does not begin an escape", "%25"),
    ("mailto:a@x?subject=%E9", "not UTF-8", "%C3%A4"),
    ("mailto:a@x?subject=two words", "blank", "%20"),
    ("mailto:a@x\tb@y", "blank", ""),
    ("mailto:a@x#fragment", "#", "%23"),
    # fields that would make it somebody else's mail
    *[(f"mailto:a@x?{name}=b@y", "can't be set", "there are subject") for name in (
        "bcc", "sender", "received", "date", "message-id", "return-path", "resent-to", "content-type",
        "mime-version", "dkim-signature", "apparently-to", "x-anything", "", "subject:",
    )],
    # injection
    ("mailto:a@x?to%0D%0Abcc=b@y", "line break", ""),
    ("mailto:a@x?subject=a%0D%0ABcc:%20b@y", "line break", ""),
    ("mailto:a@x?subject=a%0ABcc:%20b@y", "line break", ""),
    ("mailto:a@x?subject=a%0DBcc:%20b@y", "line break", ""),
    ("mailto:a@x?subject=a%C2%85b", "line break", ""),
    ("mailto:a@x?subject=a%E2%80%A8b", "line break", ""),
    ("mailto:a@x?subject=%E2%80%AEb", "control character", ""),
    ("mailto:a@x?subject=a%00", "control character", ""),
    ("mailto:a@x?body=a%00", "control character", ""),
    ("mailto:a@x?reply-to=b@y%0D%0AX:%20y", "line break", ""),
    ("mailto:a@x?keywords=b%0D%0A%0D%0Abody", "line break", ""),
    ("mailto:a@x?from=%0D%0AX:%20y", "line break", ""),
    ("mailto:a@x%0D%0ADATA", "line break", ""),
    ("mailto:a@x%3E%20SIZE=1", "no mail address", ""),
    ("mailto:%22a%3E%22@x", "no mail address", ""),
    ("mailto:-oQ/tmp%20-X/tmp/x@x%20y", "no mail address", ""),
    ("mailto:%7C/bin/sh", "no mail address", ""),
    ("mailto:a@x@y@z", "no mail address", ""),
    ("mailto:a..b@x", "no mail address", ""),
    ("mailto:@x", "no mail address", ""),
    ("mailto:a@-x", "no mail address", ""),
    ("mailto:a@x..y", "no mail address", ""),
    ("mailto:%C3%A4@x", "no mail address", ""),
    ("mailto:=%3Futf-8%3Fq%3Fx%3F=@x", "no mail address", ""),
    ("mailto:a@x?c\u202ee@f", "no name=value", ""),
    ("mailto:Bob%20%3Cbob@x%3E", "no mail address", "alone"),
    # size
    ("mailto:" + "a" * 65 + "@x", "no mail address", ""),
    ("mailto:a@" + "x." * 127 + "xx", "no mail address", ""),
    ("mailto:a@" + "%C3%A4" * 200 + ".x", "no mail address", ""),
    ("mailto:" + ",".join(f"a{n}@x" for n in range(MAX_RECIPIENTS + 1)), "more than", "fewer"),
    ("mailto:a@x?cc=" + ",".join(f"a{n}@x" for n in range(MAX_RECIPIENTS)), "more than", "fewer"),
    (f"mailto:a@x?subject={'a' * (MAX_VALUE + 1)}", "longer than", "shorter"),
    (f"mailto:a@x?body={'a' * (MAX_BODY + 1)}", "longer than", "shorter"),
    ("mailto:" + "a" * MAX_URL, "longer than", "shorter"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "text", "hint"), BAD, ids=[row[0][:60] for row in BAD])
def test_a_url_of_which_no_mail_can_be_made_is_refused_with_a_hint(url, text, hint):
    with pytest.raises(BadMailto) as raised:
        read_mailto(url)
    assert text in raised.value.text
    assert hint in raised.value.hint
    assert raised.value.text.isprintable()


def test_the_largest_of_everything_is_taken():
    people = ",".join(f"a{n}@x" for n in range(MAX_RECIPIENTS))
    mail = read_mailto(f"mailto:{people}?subject={'a' * MAX_VALUE}&body={'b' * MAX_BODY}&cc=A0@X")
    assert (len(mail.to), len(mail.subject or ""), len(mail.body or "")) == (MAX_RECIPIENTS, MAX_VALUE, MAX_BODY)
