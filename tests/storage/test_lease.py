"""The lease of a warehouse: one run at a time, and no dead one holds it."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyarrow import fs

from boostqa.errors import ConfigError
from boostqa.storage import lease as leases
from boostqa.storage.lease import LEASE, lease
from tests.processes import wait_until


def no_session():
    raise AssertionError("the lease of a folder needs no Spark")


def change(folder, **values):
    file = folder / LEASE
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_second_run_is_told_who_holds_the_warehouse_and_a_finished_one_leaves_it(tmp_path):
    with lease(str(tmp_path), "first", no_session):
        with (
            pytest.raises(ConfigError, match=r"in use by run first of .*since 20\d\d-.*sign of life \d s ago") as error,
            lease(str(tmp_path), "second", no_session),
        ):
            pass
        assert f"remove {tmp_path}/_lease.json" in str(error.value)
        with lease(str(tmp_path / "other"), "second", no_session):
            pass
    with lease(str(tmp_path), "third", no_session):
        pass
    assert not (tmp_path / LEASE).exists()


def test_dead_or_silent_holder_is_replaced_and_cannot_take_away_what_another_holds(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for dead in ({"pid": gone.pid}, {"started": 1.0}, {"host": "elsewhere", "renewed": time.time() - 301}):
        with lease(str(tmp_path), "first", no_session):
            change(tmp_path, **dead)
            with lease(str(tmp_path), "second", no_session):
                assert json.loads((tmp_path / LEASE).read_text())["run_id"] == "second"
    with lease(str(tmp_path), "first", no_session):
        change(tmp_path, host="elsewhere", pid=gone.pid)
        with pytest.raises(ConfigError, match="in use by run first"), lease(str(tmp_path), "second", no_session):
            pass
        change(tmp_path, token="another's")
    assert (tmp_path / LEASE).exists()


def test_lease_is_renewed_and_a_store_without_exclusive_create_lets_one_of_two_in(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)
    with lease(str(tmp_path), "first", no_session):
        change(tmp_path, renewed=0.0)
        deadline = time.monotonic() + 10
        while json.loads((tmp_path / LEASE).read_text() or '{"renewed": 0}')["renewed"] == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    monkeypatch.setattr(leases, "RENEW_SECONDS", 1000)
    store = fs.SubTreeFileSystem("/", fs.LocalFileSystem())
    monkeypatch.setattr(leases, "file_system", lambda folder: (store, folder))
    monkeypatch.setattr(leases, "sleep", lambda _: change(tmp_path, token="another's", run_id="faster"))
    with pytest.raises(ConfigError, match="in use by run faster"), lease(str(tmp_path), "slower", no_session):
        pass


def test_one_of_two_that_take_a_catalog_at_once_gets_it_and_a_silent_one_is_replaced(spark, monkeypatch):
    warehouse, table = "spark_catalog.leased", "spark_catalog.leased._lease"
    both, told = threading.Barrier(2), []

    def run(name):
        try:
            with lease(warehouse, name, lambda: spark):
                both.wait()
        except ConfigError as error:
            told.append(str(error))
            both.wait()

    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(run, name) for name in ("one", "two")]
    assert [job.exception() for job in jobs] == [None, None]
    [refused] = told
    assert re.search(
        r"spark_catalog\.leased is in use by run (one|two) of [\s\S]* remove the table .*\._lease", refused
    )
    monkeypatch.setattr(leases, "EXPIRE_SECONDS", -1.0)
    with lease(warehouse, "silent", lambda: spark):
        monkeypatch.setattr(leases, "RENEW_SECONDS", 0.5)
        with lease(warehouse, "next", lambda: spark):
            taken = spark.table(table).first()["holder"]
            wait_until(lambda: spark.table(table).first()["holder"] != taken)  # renewed
            assert '"run_id": "next"' in taken
    assert [r["holder"] for r in spark.table(table).collect()] == [""]  # by the one who had it
    spark.sql("DROP SCHEMA spark_catalog.leased CASCADE")


def test_user_without_a_name_is_a_number(monkeypatch):
    def nameless():
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(leases.getpass, "getuser", nameless)
    assert leases.user() == str(os.getuid())
