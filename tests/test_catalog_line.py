"""The whole line in a catalog that outlives the session: Hive's metastore in a Derby of its own, in processes of their own."""

import json
import os
import subprocess
import sys

import pytest

from boostqa.schemas import CLEAN
from tests import catalog_line
from tests.processes import DEMO, HANG, ROOT


def ended(*words):
    """A process, and what it printed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *words], check=False, cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=12 * HANG,
    )  # fmt: skip
    return done, done.stdout + done.stderr[-4000:]


@pytest.mark.line
def test_line_in_a_catalog_writes_what_it_writes_into_a_folder_and_commands_read_it(tmp_path):
    done, shown = ended("-m", "tests.catalog_line", str(tmp_path))
    assert done.returncode == 0, shown
    found = json.loads(done.stdout.splitlines()[-1])
    hashed = {table: of for table, of in found["folder"].items() if of[1] is not None}
    assert hashed == {table: of for table, of in found["catalog"].items() if of[1] is not None}
    assert {"seed", "plan", "draft", "clean", "mix"} < hashed.keys() and found["folder"].keys() == found[
        "catalog"
    ].keys()
    assert found["draft_id"] == [False, CLEAN.schema["draft_id"].metadata["comment"]]

    chosen = [x for s in catalog_line.settings(tmp_path, "spark_catalog.boostqa") for x in ("--set", s)]

    def command(*words):
        return ended("-c", "from boostqa.cli import main; main()", *words[:-1], "--config", DEMO, *chosen, words[-1])

    done, shown = command("status", "--json")
    assert done.returncode == 0, shown
    facts = json.loads(done.stdout)
    assert facts["not_current"] == {} and facts["tables"]["mix"]["rows"] == found["catalog"]["mix"][0]
    for words in (("quarantine", "list", "--json"), ("plan", "--json")):
        done, shown = command(*words)
        assert done.returncode == 0 and json.loads(done.stdout), shown
    done, shown = command("run", "--to=gate")
    assert done.returncode == 0 and "warehouse spark_catalog.boostqa\nnothing to do" in shown
