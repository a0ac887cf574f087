"""`python -m tapered`: the command line."""

import sys

from tapered.cli.main import main

sys.exit(main(None))
