"""``python -m kiyas``: the same as the command."""

import sys

from kiyas.cli import main

sys.exit(main())
