"""Upkeep: fewer files, the same rows, and nothing that a stage would have to run for again."""

from boostqa.schemas import REJECT
from boostqa.storage.upkeep import maintain
from boostqa.storage.warehouse import Warehouse


def test_small_files_are_joined_replaced_ones_removed_and_no_row_changes(spark, tmp_path):
    warehouse = Warehouse(spark, str(tmp_path / "warehouse"))
    rows = [("main", "seed", str(i), "r", "e", None, "run") for i in range(3)]
    for row in rows:
        warehouse.append("reject", spark.createDataFrame([row], REJECT.stored))
    warehouse.set_property("reject", "delta.deletedFileRetentionDuration", "interval 0 seconds")
    before, version = warehouse.measure("reject")[0], warehouse.version("reject")
    (done,) = maintain(warehouse)
    assert (done["table"], done["files_before"], done["files"], done["removed"]) == ("reject", 3, 1, 3)
    assert warehouse.measure("reject")[0].hash == before.hash and warehouse.commits_since("reject", version) == []
    folder = tmp_path / "warehouse" / "reject"
    assert len(list(folder.glob("*.parquet"))) == 1 and done["bytes"] == next(folder.glob("*.parquet")).stat().st_size
