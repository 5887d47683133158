"""What a notebook needs beside the pipeline: its conf, and tables of cells as people see them there.

The same file runs on Databricks (a source-format notebook), in Jupyter (opened by jupytext) and as plain Python.
"""

import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from boostqa import config as conf
from boostqa.errors import ConfigError
from boostqa.report.heat_maps import HeatMap


def answers(dbutils: Any, defaults: dict[str, str]) -> dict[str, str]:
    """What is chosen in a notebook, by name: its widgets where the platform has them (`dbutils`; made here with the
    `defaults`), else variables of the environment, BOOSTQA_NAME, else the defaults."""
    if dbutils is None:
        return {name: os.environ.get(f"BOOSTQA_{name.upper()}", default) for name, default in defaults.items()}
    for name, default in defaults.items():
        dbutils.widgets.text(name, default, name)
    return {name: dbutils.widgets.get(name) for name in defaults}


def load_conf(here: Path, chosen: dict[str, str]) -> conf.Config:
    """The conf that `chosen` names ("config"; with overrides in "set", key=value by white space), else the demo's, found from
    the notebook's folder `here`, whose relative paths then start in the folder above it.

    Raises ConfigError when there is neither.
    """
    settings = chosen.get("set", "").split()
    if chosen.get("config"):
        return conf.load(chosen["config"], settings)
    demo = here.resolve().parent / "conf" / "demo.yaml"
    if not demo.is_file():
        raise ConfigError(f"no conf: name one in the widget `config` or in BOOSTQA_CONFIG ({demo} is not there)")
    os.chdir(demo.parents[1])
    return conf.load(str(demo), settings)


def frame(heat_map: HeatMap) -> pd.DataFrame:
    """A heat map as a data frame: its number and, in brackets, what is said below it (an interval, the number of items)."""
    cells = [["" if cell is None else f"{cell.text} ({cell.below})" for cell in line] for _, line in heat_map.rows]
    return pd.DataFrame(cells, index=[name for name, _ in heat_map.rows], columns=list(heat_map.columns))


def coloured(heat_map: HeatMap) -> Any:
    """`frame`, coloured as on the page of a report, where a notebook shows HTML; its last expression, or display(...)."""
    text = frame(heat_map)
    heats = [[None if cell is None else cell.heat for cell in line] for _, line in heat_map.rows]
    styles = [
        ["" if h is None else f"background-color: rgba(59, 130, 196, {0.55 * h:.3f})" for h in row] for row in heats
    ]
    table = pd.DataFrame(styles, index=text.index, columns=text.columns)
    return text.style.apply(lambda _: table, axis=None).set_caption(f"{heat_map.title}: {heat_map.note}")


def show(*heat_maps: HeatMap) -> None:
    """Show heat maps: in colour where IPython runs (Jupyter, Databricks), as text elsewhere."""
    ipython = sys.modules.get("IPython")  # the platform's, where there is one
    for heat_map in heat_maps:
        if ipython is not None and ipython.get_ipython() is not None:
            ipython.display.display(ipython.display.HTML(coloured(heat_map).to_html()))
        else:
            print(f"{heat_map.title}: {heat_map.note}\n{frame(heat_map).to_string()}\n")
