"""kiyas and its peers in one run: `make bench`, or `python benchmarks/run.py --quick` for a look at the machinery.

docs/benchmarks.md says what is measured and how to read it; suite.py holds the plan.
"""

from __future__ import annotations

import os
import sys

# They change which BLAS kernels the peers get, and are read when the libraries load.
_FOREIGN = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def start() -> None:
    """Run the suite in an environment without settings meant for other programs."""
    if any(name in os.environ for name in _FOREIGN):
        clean = {k: v for k, v in os.environ.items() if k not in _FOREIGN}
        os.execve(sys.executable, [sys.executable, *sys.argv], clean)
    from suite import main

    main()


if __name__ == "__main__":
    start()
