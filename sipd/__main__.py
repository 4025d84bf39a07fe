"""`python -m sipd`: the same as the `sipd` command."""

import sys

from sipd.programs import sipd

if __name__ == "__main__":
    sys.exit(sipd())
