"""`python -m autointerp`, the same program as the `autointerp` script."""

import sys

from autointerp.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
