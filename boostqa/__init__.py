"""BoostQA: a Spark ETL that makes question-answer data for mid-training language models."""

import os
from pathlib import Path

__version__ = "0.1.0"
# In a checkout jobs/ and conf/ stand beside the package, in an installed wheel inside it.
_PACKAGE = Path(__file__).parent
ROOT = _PACKAGE if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent
CACHE = Path(os.environ.get("BOOSTQA_CACHE", ".cache"))  # what can be made again: JARs, hashes of models
