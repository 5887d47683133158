"""The README names what there is: stages, jobs, tables, commands, conf sections, packages, make targets, dependencies."""

import re
import tomllib

from boostqa import cli
from boostqa.config import Config
from boostqa.schemas import TABLES
from boostqa.vocabulary import STAGES
from tests.processes import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title):
    return re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", README, re.MULTILINE | re.DOTALL)[1]


def test_readme_has_a_row_for_every_stage_that_has_a_job():
    jobs = sorted(file.stem for file in (ROOT / "jobs").glob("*.py"))
    assert jobs == [f"{number:02d}_{stage}" for number, stage in enumerate(STAGES, 1)]
    assert re.findall(r"^\| \d (\w+) \|", section("The stages"), re.MULTILINE) == list(STAGES)


def test_readme_has_a_row_for_every_table_with_its_grain_and_key():
    rows = {
        tuple(cells) for cells in re.findall(r"^\| (\w+) \| (.*?) \| (.*?) \|$", section("The tables"), re.MULTILINE)
    }
    assert {(t.name, t.grain, ", ".join(t.key)) for t in TABLES.values()} <= rows
    assert len(rows) == len(TABLES) + 1  # and the header


def test_readme_names_every_command_and_conf_section():
    commands = {command.callback.__name__ for command in cli.app.registered_commands}
    commands |= {group.name for group in cli.app.registered_groups}
    assert commands == set(re.findall(r"^boostqa (\w+)", section("Running it"), re.MULTILINE))
    assert set(Config.model_fields) <= set(re.findall(r"`(\w+)`", section("The conf")))


def test_readme_lists_every_folder_and_every_file_of_the_packages():
    block = section("The folders, in the order data flows").split("```")[1]
    listing = {part for line in block.splitlines() for part in re.findall(r"[\w/]+", line)}
    folders = {f.name for f in ROOT.iterdir() if f.is_dir() and not f.name.startswith(".")} - {"warehouse", "output"}
    files = [f for package in ("boostqa", "udfs") for f in (ROOT / package).rglob("*.py") if f.stem != "__init__"]
    inside = {f.parent.name for f in files} | {f.stem for f in files}
    missing = {name for name in folders | inside if name not in listing and f"{name}/" not in listing}
    assert missing - {"mlruns", "dist", "spark-warehouse"} == set()
    assert not re.search(r"@[A-Z]+@", README)


def test_readme_names_every_dependency_and_tests_every_target():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[\[<>=]", name)[0] for name in project["dependencies"]}
    assert wanted <= set(re.findall(r"[\w-]+", section("Why these dependencies")))
    targets = re.findall(r"^([\w-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {t for t in targets if t.startswith("test")} | {"lint"} <= set(
        re.findall(r"`make ([\w-]+)`", section("Tests"))
    )
