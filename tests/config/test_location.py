"""Places in the conf: folders, URIs and names of a catalog; homes and variables in paths."""

import re

import pytest

from boostqa import config
from boostqa.config.location import location
from boostqa.errors import ConfigError
from tests.processes import DEMO


@pytest.mark.parametrize(
    "place",
    ["w", "my-house", "a/b", "./x.y", "../w", "/a/my data", "s3a://bucket/w", "dbfs:///w"],
)
def test_warehouse_is_a_folder_or_a_uri(place):
    assert config.load(DEMO, [f"warehouse={place}"]).warehouse == place


@pytest.mark.parametrize("place", ["main.boostqa", "'`my-catalog`.boostqa'", "main.`boost-qa`", "main.2026"])
def test_warehouse_is_in_a_catalog(place):
    loaded = config.load(DEMO, [f"warehouse={place}", "generation.staging=s", "generation.ledger=a.b.`c-d`"])
    assert loaded.warehouse == place.strip("'")


@pytest.mark.parametrize(
    "place", ["''", "main.boost-qa", "a.b.c", "s3:/bucket/w", "my house", "'.'", "main.", "'`a`'", "main.`b"]
)
def test_warehouse_that_is_neither_is_a_mistake(place):
    with pytest.raises(ConfigError, match=r"warehouse: .* is neither a folder .*, nor a URI .*, nor a catalog's"):
        config.load(DEMO, [f"warehouse={place}"])


def test_what_hyphens_and_dots_may_have_meant_is_said_and_nothing_is_guessed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"'`my-catalog`\.boostqa'; a folder is \./my-catalog\.boostqa"):
        location("my-catalog.boostqa")
    assert location("warehouse.v2").names == ("warehouse", "v2")
    (tmp_path / "warehouse.v2").mkdir()
    with pytest.raises(
        ValueError, match=r"is a folder that exists and .*: write \./warehouse\.v2, or '`warehouse`\.`v2`'"
    ):
        location("warehouse.v2")
    assert location("./warehouse.v2").path == f"{tmp_path}/warehouse.v2"
    quoted = location("`warehouse`.`v``2`").table("run")
    assert quoted.names == ("warehouse", "v`2", "run") and quoted.sql == "`warehouse`.`v``2`.`run`"
    assert str(quoted) == "warehouse.`v``2`.run" and location(str(quoted)) == quoted
    assert location("s3a://bucket/w/").table("run").sql == "delta.`s3a://bucket/w/run`"


def test_folder_that_delta_cannot_use_is_a_mistake():
    with pytest.raises(ConfigError, match=r"warehouse: './a`b': Delta makes no table in a folder with a ` in its path"):
        config.load(DEMO, ["warehouse=./a`b"])


PATHS = {
    "warehouse": "{}",
    "output": "{}",
    "tokenizer": "{}",
    "model.generator.id": "model.generator={}",
    "probe.checkpoints.0.id": "probe.checkpoints=['{}']",
    "seed.sources.0.path": "seed.sources=[{{name: s, path: '{}'}}]",
    "generation.ledger": "{}",
    "generation.staging": "{}",
    "mlflow.tracking_uri": "{}",
}


@pytest.mark.parametrize(("key", "setting"), PATHS.items())
def test_home_and_variables_expand_in_every_path_and_what_does_not_is_a_mistake(monkeypatch, key, setting):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/mnt/data")
    monkeypatch.delenv("GONE", raising=False)
    setting = setting if "=" in setting else f"{key}={setting}"
    for said, meant in {"~/x": "/home/me/x", "${DATA}/x": "/mnt/data/x", "./a$b": "./a$b"}.items():
        found = config.load(DEMO, [setting.format(said)])
        for part in key.split("."):
            found = found[int(part)] if part.isdigit() else getattr(found, part)
        assert found == meant
    for said, why in {
        "${GONE}/x": "no variable GONE",
        "$DATA/x": "with braces",
        "~no-such-user/x": "no home folder",
    }.items():
        with pytest.raises(ConfigError, match=f"{re.escape(key)}: .*{why}"):
            config.load(DEMO, [setting.format(said)])
