"""Where the driver speaks to people: standard error, at full width where it is no terminal."""

import sys

from rich.console import Console

CONSOLE = Console(stderr=True, width=None if sys.stderr.isatty() else 160)
