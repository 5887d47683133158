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
