"""`boostqa` and `python -m boostqa`: the command line, where there is a Spark to run it on."""

import sys
from importlib.util import find_spec


def main() -> None:
    """Console entry point."""
    if lacking := [name for name in ("pyspark", "delta") if find_spec(name) is None]:
        print(
            f"ConfigError: no {' and no '.join(lacking)} in this environment ({sys.prefix}): install boostqa[spark], or run it "
            "where Spark with Delta is, such as a cluster of Databricks",
            file=sys.stderr,
        )
        raise SystemExit(2)
    from boostqa import cli

    cli.main()


if __name__ == "__main__":
    main()
