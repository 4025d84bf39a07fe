"""The test messages of RFC 4475 and RFC 5118 as files: `python -m tests.data.decode_rfc4475 RFC4475 [RFC5118]`."""

from __future__ import annotations

import io
import re
import sys
import tarfile
from base64 import b64decode
from pathlib import Path

HERE = Path(__file__).parent
_PAGE = re.compile(r"\n+[A-Z][^\n]*\[Page \d+\]\n\f\n*RFC \d+[^\n]*\n+")


def rfc4475_messages(rfc: str) -> dict[str, bytes]:
    """File name -> bytes, from the base64 gzip tar of appendix A; what section 3 doesn't name is left out."""
    names = {f"{name}.dat" for name in re.findall(r"Message Details : (\S+)", rfc)}
    archive = rfc.split("\n   -- BEGIN MESSAGE ARCHIVE --\n")[1].split("\n   -- END MESSAGE ARCHIVE --\n")[0]
    lines = [line.strip() for line in archive.splitlines()]
    base64 = "".join(line for line in lines if re.fullmatch(r"[A-Za-z0-9+/]+=*", line))
    found = {}
    with tarfile.open(fileobj=io.BytesIO(b64decode(base64, validate=True)), mode="r:gz") as tar:
        for member in tar:
            name = Path(member.name).name
            content = tar.extractfile(member) if name in names else None
            if content is not None:
                found[name] = content.read()
    return found


def rfc5118_messages(rfc: str) -> dict[str, bytes]:
    """File name -> bytes, from the figures of section 4: CRLF line ends, <allOneLine> joined."""
    text = _PAGE.sub("\n\n", rfc)
    found = {}
    for piece in text.split("Message Details: ")[1:]:
        name, _, rest = piece.partition("\n")
        figure = []
        for line in rest.lstrip("\n").split("\n"):
            if line and not line.startswith(" " * 6):
                break
            figure.append(line[6:])
        message = "\n".join(figure).rstrip("\n")
        message = re.sub(
            r"<allOneLine>\n(.*?)\n</allOneLine>", lambda one: one[1].replace("\n", ""), message, flags=re.DOTALL
        )
        head, _, body = re.sub(r"\n\n+", "\n\n", message).partition("\n\n")
        # Blank lines of the text stand between head and body, and where pages met.
        whole = head + "\n\n" + (body.replace("\n\n", "\n") + "\n" if body else "")
        found[f"{name.strip()}.dat"] = whole.replace("\n", "\r\n").encode("ascii")
    return found


def main(paths: list[str]) -> None:
    """Write the files beside this one."""
    for path, decode in zip(paths, (rfc4475_messages, rfc5118_messages), strict=False):
        messages = decode(Path(path).read_text(encoding="latin-1"))
        folder = HERE / ("rfc4475" if decode is rfc4475_messages else "rfc5118")
        folder.mkdir(exist_ok=True)
        for name, content in messages.items():
            (folder / name).write_bytes(content)
        print(f"{folder.name}: {len(messages)} messages")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
