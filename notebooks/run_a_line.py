# Databricks notebook source
# MAGIC %md
# MAGIC # Run a line, or one stage of it
# MAGIC What is current is left alone, and what the ledger holds is not asked again.
# MAGIC
# MAGIC Widgets, or variables of the environment:
# MAGIC - `config` (`BOOSTQA_CONFIG`): a conf file; by default the demo's, beside this folder
# MAGIC - `set` (`BOOSTQA_SET`): overrides such as `plan.tokens=1000`, by white space
# MAGIC - `from`, `to` (`BOOSTQA_FROM`, `BOOSTQA_TO`): the first and the last stage

# COMMAND ----------

import sys
from pathlib import Path

here = Path(__file__).parent if "__file__" in globals() else Path.cwd()  # Databricks and Jupyter start in the notebook's folder
sys.path.insert(0, str(here.parent))  # where boostqa is not installed

from boostqa import pipeline
from boostqa.notebook import answers, load_conf
from boostqa.vocabulary import STAGES

chosen = answers(globals().get("dbutils"), {"config": "", "set": "", "from": "seed", "to": "mix"})
conf = load_conf(here, chosen)

# COMMAND ----------

stages = STAGES[STAGES.index(chosen["from"]) : STAGES.index(chosen["to"]) + 1]
run_id = pipeline.run(conf, stages)
print(f"run {run_id}: {', '.join(stages)}; the page of it is {conf.output}/report.html")
