"""``python -m kiyas``: the same as the command."""

import sys

try:
    from kiyas.cli import main
except KeyboardInterrupt:  # before the command can say so itself
    sys.stderr.write("kiyas: stopped\n")
    sys.exit(130)

sys.exit(main())
