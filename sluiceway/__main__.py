"""`python -m sluiceway`."""

import sys

from sluiceway.cli.main import main

sys.exit(main())
