"""`python -m docs.reference`: writes the pages that are made from the code."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.reference import pages


def main() -> int:
    """Write what has changed, and name it; the exit status."""
    for path, text in pages().items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
