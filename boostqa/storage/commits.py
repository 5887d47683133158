"""Commits to Delta tables beside other writers: each is tried again when another one came in between."""

import random
from collections.abc import Callable
from time import sleep

from delta import exceptions as delta

from boostqa.errors import ConfigError, first_line

ATTEMPTS, LONGEST_WAIT = 10, 16.0  # of a change to a table; seconds between two: 47 on average, all together


class BeingMade(Exception):
    """Another writer is just making the table."""


CONCURRENT = (*(getattr(delta, name) for name in delta.__all__), BeingMade)  # another writer's commit came in between


def until_alone(table: str, warehouse: str, change: Callable[[], object]) -> None:
    """Make a change to a table of a warehouse, again where another writer's came in between: every commit goes through here,
    and each means the same after the other's as before it.

    Raises ConfigError when others come in between ATTEMPTS times.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(random.uniform(0, min(2 ** (attempt - 1), LONGEST_WAIT)))
        try:
            change()
            return
        except CONCURRENT as error:
            last = error
    raise ConfigError(
        f"table {table} in {warehouse}: other writers changed it during each of {ATTEMPTS} tries to write it; let "
        f"them end, then run the same command again\n  {type(last).__name__}: {first_line(last)}"
    ) from last
