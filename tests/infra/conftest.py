"""The wheel, built once, and unpacked as an installation has it."""

import os
import subprocess
import sys
import zipfile

import pytest

from tests.processes import ROOT

SOMEBODY_ELSES = "raise ImportError('the udfs of somebody else were imported')\n"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The file."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, check=True, cwd=ROOT, capture_output=True, text=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def site(wheel, tmp_path_factory):
    """What it installs."""
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture
def user(site, tmp_path):
    """Where somebody works who has a udfs.py of his own, and the environment of his processes."""
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "udfs.py").write_text(SOMEBODY_ELSES)
    path = os.pathsep.join([str(folder), str(site), *(p for p in sys.path if p and p != str(ROOT))])
    return folder, os.environ | {"PYTHONPATH": path}
