"""A warehouse's name is a name: brackets, braces and stars in it match nothing else."""

from pathlib import Path

import pytest

from boostqa.calls.generation import complete
from boostqa.calls.ledger import staging_folder
from tests.calls.conftest import SPEC, completion, requests, write_part  # noqa: F401  (a fixture)
from tests.fakes import EchoEngine


def connect(settings):
    return EchoEngine()


@pytest.mark.parametrize("name", ["run[1]", "run{1,2}"])
def test_completions_of_a_neighbour_are_not_taken_for_ones_own(new_stage, requests, tmp_path, name):  # noqa: F811
    asked = requests("a")
    neighbour = new_stage(f"warehouse={tmp_path}/run1")
    theirs = write_part(neighbour, [completion(asked.first().asDict(), text="theirs")])
    stage = new_stage(f"warehouse={tmp_path}/{name}")
    stage.connect = connect
    own = write_part(stage, [completion(asked.first().asDict(), text="own")])
    assert [r["text"] for r in complete(stage, asked, SPEC).collect()] == ["own"]
    assert theirs.exists() and not own.exists()
    stored = stage.store(asked.select("prompt"))
    assert [r["prompt"] for r in stored.collect()] == ["a"] and stage.warehouse.measure("completion")[0].rows == 1
    stage.discard_stored()
    assert Path(staging_folder(stage)).is_dir()
