"""BoostQA: a Spark ETL that makes question-answer data for mid-training language models."""

__version__ = "0.1.0"
