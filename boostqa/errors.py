"""The three ways a run ends early; each message says what, where, got, expected and how to fix it. And the causes outside
of it that have one sentence each."""

import re


class BoostQAError(Exception):
    """Base of the errors a user can act on; printed as one message without a stack trace."""

    exit_code = 1


class ConfigError(BoostQAError):
    """The conf, an input path or the environment is not usable."""

    exit_code = 2


class ContractError(BoostQAError):
    """A table or the balance of rows does not hold what its contract says."""

    exit_code = 3


class GateFailed(BoostQAError):
    """A quality gate does not hold; the verdict table says which."""

    exit_code = 4


# What an error of Spark, the JVM or the machine says -> what happened and what mends it; the first that fits.
_CAUSES = (
    (
        r"No space left on device|database or disk is full",
        "the disk is full: free space there, or set `warehouse:`, `output:` or Spark's spark.local.dir to another disk",
    ),
    (
        r"Permission denied|Read-only file system",
        "a file cannot be written or read: change the rights, or set `warehouse:` or `output:` to another place",
    ),
    (
        r"java\.lang\.OutOfMemoryError",
        "a JVM of Spark ran out of memory: raise spark.driver.memory (local mode) or spark.executor.memory in `spark.conf`",
    ),
    (
        r"Python worker exited unexpectedly|exit(?:ed)?(?: with)?(?: status| code)? 137|OOMKilled",
        (
            "a Python worker or executor was killed, most often by the system for memory: give it more, or run fewer tasks at "
            "once (spark.executor.memoryOverhead, spark.executor.cores; in local mode a smaller spark.master)"
        ),
    ),
    (
        r"Py4JNetworkError|Answer from Java side is empty|Connection refused|Connection reset by peer",
        "the JVM of the Spark driver is gone: it was killed, or ran out of memory (spark.driver.memory)",
    ),
    (
        r"_delta_log/\d+\.|DELTA_(?:LOG|STATE|TRUNCATED|MISSING|TABLE_NOT|VERSIONS|INVALID_LOG)\w*|Incomplete log file|MalformedInput",
        (
            "the log of a Delta table is damaged: put the file back from a copy; if it is the latest commit and cut off, remove "
            "it, and the table is as it was before"
        ),
    ),
    (
        r"FAILED_READ_FILE|FILE_NOT_EXIST|FileNotFoundException|is not a Parquet file",
        (
            "a data file is missing or damaged; the table can be put back to an earlier version (RESTORE), or its stage be run "
            "again with --force"
        ),
    ),
)
_PLACE = re.compile(r"(?:\w+:)?/[^\s'\",;:()\[\]]{2,300}")


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return next(iter(str(error).strip().splitlines()), "")[:500]


def told(error: BaseException) -> str:
    """What a reader can act on: the cause where it is known, else the first line."""
    return cause(error) or first_line(error)


def cause(error: BaseException) -> str | None:
    """What happened outside and what mends it, with the first line that says so and the place it names; None for what is
    not known."""
    chain: BaseException | None = error
    text = ""
    while chain is not None:
        text += f"{type(chain).__name__}: {chain}\n"
        chain = chain.__cause__ or chain.__context__
    for pattern, meaning in _CAUSES:
        if found := re.search(pattern, text):
            line = text[text.rfind("\n", 0, found.start()) + 1 :].split("\n", 1)[0].strip()
            place = _PLACE.search(line)
            return f"{meaning}\n  {line[:300] if place is None else f'{place[0]}: {line[:300]}'}"
    return None
