"""Resolve Delta's JARs and the S3 connector once, for an image whose pods start without a way to Maven Central.

The connector is of the Hadoop that this pyspark ships; another one fails at run time with a missing method. Delta's own
JARs also stay in BOOSTQA_CACHE, where a session on a local master looks for them.

Usage: python infra/jars.py FOLDER   (for an image $SPARK_HOME/jars)
"""

import re
import shutil
import sys
from pathlib import Path

import pyspark

from boostqa import CACHE, ROOT
from boostqa.session import spark_session

SPARKS = Path(pyspark.__file__).parent / "jars"


def packages() -> list[str]:
    """Coordinates of Delta, as conf/spark.conf has them, and of the connector."""
    properties = (ROOT / "conf" / "spark.conf").read_text(encoding="utf-8").splitlines()
    delta = next(line.split()[1] for line in properties if line.startswith("spark.jars.packages"))
    hadoop = next(SPARKS.glob("hadoop-client-api-*.jar")).stem.removeprefix("hadoop-client-api-")
    return [delta, f"org.apache.hadoop:hadoop-aws:{hadoop}"]


def artifact(file: str) -> str:
    """`jackson-core` of jackson-core-2.18.2.jar."""
    return re.sub(r"-\d[\w.-]*\.jar$", "", file)


def main() -> None:
    """Copy what is resolved, less what Spark ships in a version of its own, into the folder named on the command line."""
    target = Path(sys.argv[1])
    spark_session("jars", "local[1]", {"spark.jars.packages": ",".join(packages())}).stop()
    shipped = {artifact(jar.name) for jar in SPARKS.glob("*.jar")}
    for jar in CACHE.glob("ivy/*/jars/*.jar"):
        if artifact(jar.name.partition("_")[2]) not in shipped:  # Ivy puts the organisation before it
            shutil.copy(jar, target)
            print(jar.name)
        if not jar.name.startswith("io.delta_"):
            jar.unlink()


if __name__ == "__main__":
    main()
