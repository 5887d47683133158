"""Hatchling's build hook: what the wheel holds.

In a checkout `udfs/` stands at the top, so that the listing shows the flow of data. A wheel may not take so common a name
in everybody's environment: there the package is `boostqa_udfs`, and all that imports it says so. `jobs/` and `conf/` lie
inside the package. An editable install is the checkout itself.
"""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OWN_NAME = "boostqa_udfs"
# `udfs.text`, `udfs/text.py`, `from udfs import text`, `import udfs`; not the word "udfs" in a sentence.
_NAMED = re.compile(r"\budfs(?=[./][\w{])|(?<=from )udfs(?= import)|(?<=import )udfs\b")
_PLACES = {"boostqa": "boostqa", "udfs": OWN_NAME, "jobs": "boostqa/jobs", "conf": "boostqa/conf"}
_NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.py[co]")


def renamed(source: str) -> str:
    """A Python file as the wheel has it."""
    return _NAMED.sub(OWN_NAME, source)


class WheelFiles(BuildHookInterface):
    """Copies the packages, renames `udfs` in the copy, and hands it to the builder."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to a wheel; an editable one needs none."""
        if version == "editable":
            return
        self.copy = Path(tempfile.mkdtemp(prefix="boostqa-wheel-"))
        for folder, place in _PLACES.items():
            target = self.copy / place
            shutil.copytree(Path(self.root) / folder, target, ignore=_NOT_SHIPPED, dirs_exist_ok=True)
            for file in target.rglob("*.py"):
                file.write_text(renamed(file.read_text(encoding="utf-8")), encoding="utf-8")
        build_data["force_include"] |= {str(self.copy / name): name for name in ("boostqa", OWN_NAME)}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the copy."""
        if version != "editable":
            shutil.rmtree(self.copy, ignore_errors=True)
