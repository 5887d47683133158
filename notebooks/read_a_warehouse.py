# Databricks notebook source
# MAGIC %md
# MAGIC # Read a warehouse
# MAGIC What the last run did, what the checkpoint lacks, what the plan made of it, and why an item is in the mix.

# COMMAND ----------

from boostqa import config, pipeline
from boostqa.report.explain import explain
from boostqa.report.status import collect
from pyspark.sql import functions as F

conf = config.load("conf/demo.yaml")
warehouse = pipeline.warehouse(conf)
facts = collect(warehouse)
for row in facts["stages"]:
    print(f"{row['stage']:11} {row['rows_in']:>6} in {row['kept']:>6} kept {row['rejected']:>6} rejected  {row['rejected_by_rule']}")

# COMMAND ----------

# MAGIC %md ## What the checkpoint lacks

# COMMAND ----------

probe = warehouse.read("probe").toPandas()
axes = probe[probe.method == "cloze"].sort_values("accuracy").plot.barh(
    x="discipline", y="accuracy", figsize=(8, 0.25 * len(probe) + 1), legend=False, title="cloze accuracy by cell (chance 0.25)"
)
axes.axvline(0.25, color="grey", linestyle="--")

# COMMAND ----------

# MAGIC %md ## Aim and measurement: where difficulty degrades

# COMMAND ----------

drafts = warehouse.read("draft")
drafts.groupBy("grade").pivot("difficulty").count().orderBy("grade").show()
drafts.groupBy("strategy").agg(F.avg((F.col("difficulty") < F.col("grade")).cast("double")).alias("degradation_rate")).show()

# COMMAND ----------

# MAGIC %md ## One item, from seed to mix

# COMMAND ----------

first = warehouse.read("mix").orderBy("draft_id").first()
print(first["text"])
explain(warehouse, first["draft_id"])
