"""`python -m bench`: see `python -m bench --help`."""

from __future__ import annotations

import sys

try:
    from bench.cli.app import main
except ModuleNotFoundError as error:
    if (error.name or "bench").partition(".")[0] in {"bench", "datasets", "methods"}:
        raise
    sys.exit(
        f"error: {error.name} is not installed for {sys.executable}: activate the suite's "
        "environment (source .venv/bin/activate), or make it (make .venv/.ready)"
    )
except KeyboardInterrupt:  # while it is being imported: nothing has begun
    sys.exit(130)


main()
