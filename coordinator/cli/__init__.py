"""The command line of the coordinator. What takes long to import is imported by the command that needs it."""

from __future__ import annotations

import sys

from common.errors import MeshtwinError, Misconfigured


def main() -> None:
    """Run `coordinator`. Exit codes: 0 done, 2 misconfigured or wrong usage, 1 any other failure."""
    from coordinator.cli.commands import app

    try:
        app()
    except MeshtwinError as error:
        print(f"coordinator: {one_line(error)}", file=sys.stderr)
        sys.exit(2 if isinstance(error, Misconfigured) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output, such as `head`, has seen enough.
        sys.stderr.close()
        sys.exit(1)


def one_line(error: MeshtwinError) -> str:
    """The error and its fix on a single line."""
    return " · ".join(part.strip() for part in str(error).splitlines() if part.strip())
