"""stage run: what a job may read, and the balance of rows it owes."""

import pytest

from boostqa.errors import ContractError
from boostqa.schemas import COMPLETION
from tests.rows import frame


def test_read_empty_table_says_so(stage):
    stage.warehouse.append("completion", frame(stage.spark, COMPLETION))
    with pytest.raises(ContractError, match="table completion is empty, so there is nothing to do"):
        stage.read("completion")


def test_rows_that_do_not_balance_fail(stage):
    stage.check_row_balance(rows_in=5, kept=4, rejected=2, fan_out=1)
    with pytest.raises(ContractError, match=r"5 in \+ 0 fan-out != 3 kept \+ 1 rejected"):
        stage.check_row_balance(rows_in=5, kept=3, rejected=1)


@pytest.mark.parametrize("name", ["run[1]", "run*"])
def test_what_a_stage_stores_is_read_from_the_folder_of_that_name(tmp_path, new_stage, name):
    for folder in ("run1", name):
        stage = new_stage(f"warehouse={tmp_path}/{folder}/w")
        stored = stage.store(stage.spark.range(2))
    assert stored.count() == 2
