"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.highlighting import lexer_classes

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sipd import __version__

project = "sipd"
author = "The sipd authors"
project_copyright = author
release = version = __version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3
nitpicky = True

html_theme = "furo"
html_title = f"sipd {__version__}"
html_show_sourcelink = False

# Mermaid diagrams are shown as their text here; other viewers of these files draw them.
lexer_classes["mermaid"] = lexer_classes["none"]
