import pandas as pd

from udfs.json_lines import exact


def test_exact_decimals_become_text_and_non_finite_null_outside_of_strings():
    lines = {
        '{"a": 1.10, "b": [-0.5E-3, 2, 1e400]}': '{"a": "1.10", "b": ["-0.5E-3", 2, "1e400"]}',
        '{"a": NaN, "b": [Infinity,-Infinity]}': '{"a": null, "b": [null,null]}',
        r'{"a": "NaN, \" 1.5: \\", "b": 1.5}': r'{"a": "NaN, \" 1.5: \\", "b": "1.5"}',
        '{"a": 01.5}': '{"a": 0"1.5"}',  # no JSON, before and after
    }
    assert exact(pd.Series([*lines, None])).tolist() == [*lines.values(), None]
