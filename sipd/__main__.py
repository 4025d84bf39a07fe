"""`python -m sipd`: the same as the `sipd` command."""

import sys

from sipd.cli import main

if __name__ == "__main__":
    sys.exit(main())
