# Databricks notebook source
# MAGIC %md
# MAGIC # Read the results
# MAGIC The funnel, where the tokens went, what the checkpoint lacks, what it is to be given, and whether drafts are as hard as asked for.
# MAGIC
# MAGIC Widgets, or variables of the environment:
# MAGIC - `config` (`BOOSTQA_CONFIG`): a conf file; by default the demo's, beside this folder
# MAGIC - `set` (`BOOSTQA_SET`): overrides such as `plan.tokens=1000`, by white space

# COMMAND ----------

import sys
from pathlib import Path

here = Path(__file__).parent if "__file__" in globals() else Path.cwd()  # Databricks and Jupyter start in the notebook's folder
sys.path.insert(0, str(here.parent))  # where boostqa is not installed

import pandas as pd
from boostqa import pipeline
from boostqa.notebook import answers, load_conf, show
from boostqa.report import budget, difficulty, heat_maps
from boostqa.report.status import collect

chosen = answers(globals().get("dbutils"), {"config": "", "set": ""})
conf = load_conf(here, chosen)

warehouse = pipeline.warehouse(conf)
facts = collect(warehouse)

# COMMAND ----------

# MAGIC %md
# MAGIC ## The funnel: stages, and the tables that an item goes through

# COMMAND ----------

columns = ["round", "stage", "rows_in", "fan_out", "kept", "rejected", "requests", "reused", "generated_tokens", "seconds"]
print(pd.DataFrame(facts["stages"])[columns].to_string(index=False))
line = ("plan", "draft", "refined", "clean", "mix")
print(" -> ".join(f"{name} {facts['tables'][name]['rows']}" for name in line if name in facts["tables"]))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Where the tokens went

# COMMAND ----------

if "token_usage" in facts:
    print(pd.DataFrame(facts["token_usage"]["causes"]).to_string(index=False))

# COMMAND ----------

# MAGIC %md
# MAGIC ## What the checkpoint lacks: accuracy with its 95% interval and the number of items

# COMMAND ----------

probed = [row.asDict() for row in warehouse.rows("probe").drop("request_ids").collect()]
show(*heat_maps.of_probe(probed))

# COMMAND ----------

# MAGIC %md
# MAGIC ## What it is to be given: kept tokens wanted, requests, and what holds a cell

# COMMAND ----------

if warehouse.exists("budget"):
    show(heat_maps.of_budget(budget.collect(warehouse)))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Aimed at and measured: where difficulty degrades

# COMMAND ----------

if facts["difficulty"]:
    print("\n".join(difficulty.sentences(facts["difficulty"])))
    show(*heat_maps.of_aims(facts["difficulty"]["aims"]))
