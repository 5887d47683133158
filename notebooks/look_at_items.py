# Databricks notebook source
# MAGIC %md
# MAGIC # Look at items
# MAGIC What a stage let through, what it rejected and what that said, and the whole story of one item.
# MAGIC
# MAGIC Widgets, or variables of the environment:
# MAGIC - `config` (`BOOSTQA_CONFIG`): a conf file; by default the demo's, beside this folder
# MAGIC - `set` (`BOOSTQA_SET`): overrides such as `plan.tokens=1000`, by white space
# MAGIC - `stage`, `rule` (`BOOSTQA_STAGE`, `BOOSTQA_RULE`): what is looked at; rule `all` is any
# MAGIC - `item` (`BOOSTQA_ITEM`): the first characters of a draft_id; by default one is drawn

# COMMAND ----------

import sys
from pathlib import Path

here = Path(__file__).parent if "__file__" in globals() else Path.cwd()  # Databricks and Jupyter start in the notebook's folder
sys.path.insert(0, str(here.parent))  # where boostqa is not installed

from boostqa import pipeline
from boostqa.notebook import answers, load_conf
from boostqa.report import browse
from boostqa.report.explain import explain, show
from rich.console import Console

chosen = answers(globals().get("dbutils"), {"config": "", "set": "", "stage": "refine", "rule": "all", "item": ""})
conf = load_conf(here, chosen)

warehouse, console = pipeline.warehouse(conf), Console(width=120)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What the stage let through

# COMMAND ----------

passed = browse.collect(warehouse, chosen["stage"], None, None, {}, 3)
browse.show(passed, console)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What it rejected

# COMMAND ----------

browse.show(browse.collect(warehouse, chosen["stage"], None, chosen["rule"], {}, 5), console)

# COMMAND ----------

# MAGIC %md
# MAGIC ## One item, from seed to mix

# COMMAND ----------

item = chosen["item"] or browse.collect(warehouse, None, "draft", None, {}, 1)["shown"][0]["draft_id"]
show(explain(warehouse, item), console)
