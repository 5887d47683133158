# Databricks notebook source
# MAGIC %md
# MAGIC # Work on a prompt
# MAGIC A few requests through the whole line, each from seed to text; only the ledger is written, so that nothing is paid for twice.
# MAGIC Edit `boostqa/prompts/*.md` or `set`, and run the last cell again.
# MAGIC
# MAGIC Widgets, or variables of the environment:
# MAGIC - `config` (`BOOSTQA_CONFIG`): a conf file; by default the demo's, beside this folder
# MAGIC - `set` (`BOOSTQA_SET`): overrides such as `plan.tokens=1000`, by white space
# MAGIC - `n` (`BOOSTQA_N`): requests to follow

# COMMAND ----------

import sys
from pathlib import Path

here = Path(__file__).parent if "__file__" in globals() else Path.cwd()  # Databricks and Jupyter start in the notebook's folder
sys.path.insert(0, str(here.parent))  # where boostqa is not installed

from boostqa import preview
from boostqa.notebook import answers, load_conf
from boostqa.report import side_by_side
from rich.console import Console

chosen = answers(globals().get("dbutils"), {"config": "", "set": "", "n": "4"})
conf = load_conf(here, chosen)

# COMMAND ----------

side_by_side.show(preview.preview(conf, int(chosen["n"])), Console(width=140))
