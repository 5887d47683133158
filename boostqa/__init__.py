"""BoostQA: a Spark ETL that makes question-answer data for mid-training language models."""

import os
from pathlib import Path

__version__ = "0.1.0"
CACHE = Path(os.environ.get("BOOSTQA_CACHE", ".cache"))  # what can be made again: JARs, hashes of models
