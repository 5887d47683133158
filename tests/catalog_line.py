"""Run by test_catalog_line in a JVM with a metastore of its own: the line into a catalog, then into a folder; prints both."""

import json
import sys
from pathlib import Path

from boostqa import config, pipeline
from boostqa.vocabulary import STAGES
from tests import whole_line
from tests.conftest import FAST


def settings(folder: Path, warehouse: str) -> list[str]:
    """Of the line in tests/whole_line.py, with its tables in `warehouse` and Hive's metastore in a Derby of this folder."""
    spark = FAST | {
        "spark.sql.catalogImplementation": "hive",
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder}/derby;create=true",
        "spark.sql.warehouse.dir": f"{folder}/tables",
        "spark.driver.extraJavaOptions": f"-Dderby.stream.error.file={folder}/derby.log",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
    }
    said = [f"spark.conf={json.dumps(config.load(whole_line.DEMO).spark.conf | spark)}", f"warehouse={warehouse}"]
    return [*whole_line.settings(folder), *said, f"generation.staging={folder}/staging"]


def main(folder: Path) -> None:
    """Run both and print what their tables hold."""
    whole_line.write_input(folder)
    found: dict[str, object] = {}
    for name, warehouse in (("catalog", "spark_catalog.boostqa"), ("folder", f"{folder}/warehouse")):
        conf = config.load(whole_line.DEMO, settings(folder, warehouse))
        pipeline.run(conf, STAGES, whole_line.connect)
        tables = whole_line.collect(pipeline.warehouse(conf))["tables"]
        found[name] = {table: [facts["rows"], facts["hash"]] for table, facts in tables.items()}
    draft_id = pipeline.warehouse(conf).spark.table("spark_catalog.boostqa.clean").schema["draft_id"]
    found["draft_id"] = [draft_id.nullable, draft_id.metadata["comment"]]
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
