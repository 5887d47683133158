"""The warehouse: contracts both ways, content hashes, nothing half-written."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import delta
import pytest
from pyspark.errors import SparkRuntimeException
from pyspark.sql import functions as F

from boostqa.errors import ConfigError, ContractError
from boostqa.export.reproduce import keep
from boostqa.schemas import REJECT, RUN, TABLES
from boostqa.storage import commits
from boostqa.storage.catalog import check_lasting
from boostqa.storage.commits import until_alone
from boostqa.storage.scratch import Scratch
from boostqa.storage.warehouse import KEPT_FOR, Warehouse
from tests.rows import exported, frame, stored


@pytest.fixture
def warehouse(spark, tmp_path):
    return Warehouse(spark, str(tmp_path / "warehouse"))


def rejects(spark, *rows):
    return spark.createDataFrame([("main", *row, None, "run") for row in rows], REJECT.stored)


def test_write_then_read_gives_the_rows_and_their_count(spark, warehouse):
    written = warehouse.write("reject", rejects(spark, ("seed", "a", "r", "e"), ("seed", "b", "r", "e")))
    assert written.rows == 2
    assert {r["key"] for r in warehouse.read("reject").collect()} == {"a", "b"}


def test_content_hash_ignores_order_layout_and_volatile_columns(spark, warehouse):
    rows = [("seed", str(i), "r", "e") for i in range(6)]
    first = warehouse.write("reject", rejects(spark, *rows).repartition(3))
    other = spark.createDataFrame([("main", *row, None, "another run") for row in reversed(rows)], REJECT.stored)
    assert warehouse.write("reject", other.coalesce(1)).hash == first.hash
    assert warehouse.write("reject", rejects(spark, *rows[:5])).hash != first.hash


def test_write_where_replaces_only_matching_rows(spark, warehouse):
    warehouse.write("reject", rejects(spark, ("seed", "a", "r", "e"), ("clean", "b", "r", "e")))
    warehouse.write("reject", rejects(spark, ("seed", "c", "r", "e")), "stage = 'seed'")
    assert {r["key"] for r in warehouse.read("reject").collect()} == {"b", "c"}


def test_write_repeated_key_is_refused_and_previous_version_stays(spark, warehouse):
    warehouse.write("reject", rejects(spark, ("seed", "a", "r", "e")))
    with pytest.raises(ContractError, match=r"1 rows repeat a key \(stage, key, rule\)"):
        warehouse.write("reject", rejects(spark, ("seed", "x", "r", "1"), ("seed", "x", "r", "2")))
    assert [r["key"] for r in warehouse.read("reject").collect()] == ["a"]


def test_write_tells_of_its_own_version_though_another_writer_came_after_it(spark, warehouse, monkeypatch):
    save = Warehouse._save

    def saved(self, writer, table):
        save(self, writer, table)
        monkeypatch.setattr(Warehouse, "_save", save)
        warehouse.append("reject", rejects(spark, ("seed", "b", "r", "e")))

    monkeypatch.setattr(Warehouse, "_save", saved)
    written = warehouse.write("reject", rejects(spark, ("seed", "a", "r", "e")))
    assert (written.version, written.rows) == (warehouse.version("reject") - 1, 1)


def test_writers_of_one_table_that_is_not_yet_there_all_get_their_rows_in(spark, warehouse):
    def write(stage):
        for number in range(4):
            warehouse.write("reject", rejects(spark, (stage, str(number), "r", "e")), f"stage = '{stage}'")

    def append(stage):
        for number in range(4):
            warehouse.append("reject", rejects(spark, (stage, str(number), "r", "e")))

    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(write, "seed"), pool.submit(write, "clean"), pool.submit(append, "mix")]
    assert [str(job.exception()) for job in jobs if job.exception()] == []
    found = {(r["stage"], r["key"]) for r in warehouse.read("reject").collect()}
    assert found == {("seed", "3"), ("clean", "3"), *(("mix", str(number)) for number in range(4))}


def test_table_whose_folder_another_writer_clears_is_made_again(spark, warehouse, monkeypatch, tmp_path):
    monkeypatch.setattr(commits, "sleep", lambda seconds: None)
    folder, plain, failed = Path(warehouse.path("reject")), spark.sql, []

    def sql(statement):
        if failed:
            return plain(statement)
        folder.parent.mkdir()
        folder.symlink_to(tmp_path / "gone" / "gone")  # no folder can be made in it, as in one that is being removed
        try:
            return plain(statement)
        except Exception as error:
            failed.append(str(error))
            raise
        finally:
            folder.unlink()

    monkeypatch.setattr(spark, "sql", sql)
    warehouse.write("reject", rejects(spark, ("seed", "a", "r", "e")))
    assert "CANNOT_CREATE_LOG_PATH" in failed[0] and warehouse.read("reject").count() == 1


def test_folder_of_a_catalogs_table_that_cannot_be_made_is_an_error_and_nothing_is_made_here(
    spark, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    why = SparkRuntimeException("[DELTA_CANNOT_CREATE_LOG_PATH] Cannot create s3a://bucket/reject/_delta_log")
    monkeypatch.setattr(spark, "sql", Mock(side_effect=why))
    with pytest.raises(ConfigError, match=r"(?s)cannot create table reject in spark_catalog\.default: .*LOG_PATH"):
        Warehouse(spark, "spark_catalog.default").create("reject")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ConcurrentTransactionException", "MetadataChangedException"])
def test_writer_that_is_never_alone_ends_with_what_to_do(monkeypatch, name):
    waits = []
    monkeypatch.setattr(commits, "sleep", waits.append)

    def change():
        raise getattr(delta.exceptions, name)("another commit")

    with pytest.raises(
        ConfigError, match=f"table reject in .* during each of 10 tries .*run the same command(?s:.*){name}: "
    ):
        until_alone("reject", "the warehouse", change)
    assert len(waits) == 9 and max(waits) <= 16


def test_repeated_key_puts_back_the_slice_and_leaves_what_others_wrote(spark, warehouse, monkeypatch):
    warehouse.write("reject", rejects(spark, ("seed", "a", "r", "e")))
    measure = Warehouse.measure

    def measured(self, *of):
        monkeypatch.setattr(Warehouse, "measure", measure)
        warehouse.append("reject", rejects(spark, ("clean", "b", "r", "e")))
        return measure(self, *of)

    monkeypatch.setattr(Warehouse, "measure", measured)
    with pytest.raises(ContractError, match="1 rows repeat a key"):
        warehouse.write("reject", rejects(spark, ("seed", "x", "r", "1"), ("seed", "x", "r", "2")), "stage = 'seed'")
    assert {r["key"] for r in warehouse.read("reject").collect()} == {"a", "b"}


def test_write_of_nothing_in_place_of_nothing_is_the_version_there_is(spark, warehouse):
    assert (warehouse.write("reject", rejects(spark)).rows, warehouse.version("reject")) == (0, 0)


def test_write_null_in_required_column_is_refused_and_nothing_is_written(spark, warehouse):
    nullable = spark.createDataFrame(
        [("main", "seed", "k", None, "e", None, "run")],
        "round string, stage string, key string, rule string, evidence string, request_ids array<string>, run_id string",
    )
    with pytest.raises(ContractError, match="required column rule is null"):
        warehouse.write("reject", nullable)
    assert warehouse.read("reject").count() == 0


def test_write_wrong_columns_lists_missing_unknown_and_type(spark, warehouse):
    df = spark.createDataFrame([("seed", 1, "x")], "stage string, key int, other string")
    with pytest.raises(ContractError) as error:
        warehouse.write("reject", df)
    for part in ("missing column rule (string)", "unknown column other", "column key: got int, expected string"):
        assert part in str(error.value)


def test_read_missing_table_says_which_stage_to_run(warehouse):
    with pytest.raises(ContractError, match="table seed not found"):
        warehouse.read("seed")


def test_read_foreign_table_breaks_the_contract(spark, warehouse):
    spark.range(1).write.format("delta").save(warehouse.path("seed"))
    with pytest.raises(ContractError, match="missing column seed_id"):
        warehouse.read("seed")


@pytest.mark.parametrize("name", ["run[1]", "a b+c%20#d", "é"])
def test_table_in_a_folder_of_any_name_is_written_and_changed(spark, tmp_path, name):
    warehouse = Warehouse(spark, str(tmp_path / name))
    warehouse.write("reject", rejects(spark, ("seed", "a", "r", "e"), ("seed", "b", "r", "e")))
    warehouse.set_property("reject", "boostqa.released", "1")
    warehouse.delete("reject", "key = 'b'")
    assert [r["key"] for r in warehouse.read("reject").collect()] == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_catalog_holds_the_same_tables_as_a_folder(spark, warehouse):
    """Three-part names: made by SQL with comments and NOT NULL, replaced, put back, merged, changed, at a version."""
    shared = Warehouse(spark, "spark_catalog.shared", "`spark_catalog`.`ledger`.completion")
    two = [("seed", "a", "r", "e"), ("clean", "b", "r", "e")]
    assert not shared.exists("reject") and shared.rows("reject").count() == 0
    assert shared.write("reject", rejects(spark, *two)).hash == warehouse.write("reject", rejects(spark, *two)).hash
    key = spark.table("spark_catalog.shared.reject").schema["key"]
    assert not key.nullable and key.metadata["comment"] == REJECT.stored["key"].metadata["comment"]
    shared.set_property("reject", "boostqa.released", "1")
    with pytest.raises(ContractError, match="1 rows repeat a key"):
        shared.write("reject", rejects(spark, ("seed", "x", "r", "1"), ("seed", "x", "r", "2")), "stage = 'seed'")
    with pytest.raises(ContractError, match="1 rows repeat a key"):
        shared.write("reject", rejects(spark, ("seed", "x", "r", "1"), ("seed", "x", "r", "2")))
    with pytest.raises(ContractError, match="required column rule is null"):
        shared.write("reject", rejects(spark, *two).withColumn("rule", F.lit(None).cast("string")))
    assert {r["key"] for r in shared.read("reject").collect()} == {"a", "b"}
    shared.write("reject", rejects(spark, ("seed", "c", "r", "e")), "stage = 'seed'")
    shared.append("reject", rejects(spark, ("mix", "d", "r", "e")))
    shared.insert("reject", rejects(spark, ("mix", "d", "r", "e"), ("mix", "f", "r", "e")))
    shared.delete("reject", "key = 'b'")
    assert {r["key"] for r in shared.read("reject").collect()} == {"c", "d", "f"}
    assert {r["key"] for r in shared.read("reject", 1).collect()} == {"a", "b"}
    assert shared.properties("reject")["boostqa.released"] == "1"
    shared.create("completion")
    assert shared.path("completion") == "spark_catalog.ledger.completion" and shared.exists("completion")
    assert not spark.catalog.tableExists("spark_catalog.shared.completion")
    for schema in ("shared", "ledger"):
        spark.sql(f"DROP SCHEMA spark_catalog.{schema} CASCADE")


def test_catalog_that_the_session_does_not_know_or_would_forget_is_refused(spark):
    for change in (lambda w: w.exists("run"), lambda w: w.create("run")):
        with pytest.raises(ConfigError, match=r"this session has no catalog main; .* write \./main\.boost"):
            change(Warehouse(spark, "main.boost"))
    with pytest.raises(ConfigError, match=r"spark_catalog\.`a-b`: cannot make the schema"):
        Warehouse(spark, "spark_catalog.`a-b`").create("run")
    forgetful = {"spark.sql.catalogImplementation": "in-memory"}
    with pytest.raises(ConfigError, match=r"spark_catalog\.x\.completion: the catalog .* forgets .* metastore"):
        check_lasting(SimpleNamespace(conf=forgetful), "/a/folder", "spark_catalog.x.completion")
    check_lasting(spark, "main.boost", None)


def test_write_unwritable_place_is_a_config_error(spark):
    with pytest.raises(ConfigError, match="cannot create table reject"):
        Warehouse(spark, "/proc/nowhere").write("reject", rejects(spark, ("seed", "a", "r", "e")))


def test_scratch_reads_the_tables_it_may_and_leaves_the_warehouse_as_it_is(spark, warehouse):
    warehouse.write("reject", rejects(spark, ("seed", "a", "r", "e"), ("clean", "b", "r", "e")))
    assert not Scratch(spark, warehouse.location, None, ()).exists("reject")
    scratch = Scratch(spark, warehouse.location, None, ("reject",))
    assert scratch.read("reject").count() == 2 and scratch.version("reject") == warehouse.version("reject")
    assert scratch.write("reject", rejects(spark, ("seed", "c", "r", "e")), "stage = 'seed'").rows == 1
    scratch.append("reject", rejects(spark, ("mix", "d", "r", "e")))
    assert {r["key"] for r in scratch.read("reject").collect()} == {"b", "c", "d"}
    with pytest.raises(ContractError, match="unknown column more"):
        scratch.write("reject", rejects(spark).selectExpr("*", "1 as more"))
    assert {r["key"] for r in warehouse.read("reject").collect()} == {"a", "b"}


@pytest.mark.parametrize("left", [[], ["_delta_log/00000000000000000000.json"]])
def test_table_whose_making_was_cut_off_is_made(spark, warehouse, left):
    """As a full disk leaves it: a log without a commit."""
    folder = Path(warehouse.path("reject"))
    (folder / "_delta_log").mkdir(parents=True)
    for name in left:
        (folder / name).touch()
    assert warehouse.write("reject", rejects(spark, ("seed", "a", "r", "e"))).rows == 1
    other = Path(warehouse.path("conflict"))
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="conflict holds no readable Delta table: move it away"):
        warehouse.create("conflict")


def test_table_of_a_release_without_a_column_is_read_and_gets_it_when_it_is_written(spark, warehouse):
    """What was paid for stays readable: a column that may be null is null in rows that were written before it."""
    old = frame(spark, RUN, {"run_id": "old"}).drop("basis")  # and without a round
    old.write.format("delta").save(warehouse.path("run"))
    assert [(r["basis"], r["round"]) for r in warehouse.read("run").collect()] == [(None, "main")]
    warehouse.append("run", stored(spark, RUN, {"run_id": "new", "basis": {"conf": "x"}}), {"stage": "a"})
    assert {r["run_id"]: r["basis"] for r in warehouse.read("run").collect()} == {"old": None, "new": {"conf": "x"}}
    assert {r["round"] for r in warehouse.read("run").collect()} == {"main"}
    assert warehouse.commits_since("run", 0) == [{}, {"stage": "a"}] or warehouse.commits_since("run", 0) == [
        {"stage": "a"},
        {},
    ]
    assert warehouse.commits_since("run", warehouse.version("run")) == []
    lost = old.drop("stage")
    lost.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(warehouse.path("run"))
    with pytest.raises(ContractError, match="missing column stage"):
        warehouse.read("run")


def test_mix_of_an_earlier_release_counts_as_none_and_is_made_anew(spark, warehouse):
    place = f"{warehouse.location}/mix"
    spark.sql(f"CREATE TABLE delta.`{place}` (draft_id STRING NOT NULL, text STRING) USING delta")
    spark.sql(f"INSERT INTO delta.`{place}` VALUES ('d', 'old')")
    assert warehouse.read("mix").count() == 0
    warehouse.write("mix", stored(spark, TABLES["mix"], exported("d", text="new")))
    assert [r["text"] for r in warehouse.read("mix").collect()] == ["new"]


def test_tables_that_an_export_is_made_of_keep_their_versions_also_those_of_an_earlier_release(spark, warehouse):
    warehouse.write("seed", stored(spark, TABLES["seed"], {}))
    spark.sql(f"ALTER TABLE delta.`{warehouse.location}/seed` UNSET TBLPROPERTIES ('delta.logRetentionDuration')")
    keep(warehouse, ["seed", "clean"])  # the other is not there
    assert warehouse.properties("seed").items() >= KEPT_FOR.items()
