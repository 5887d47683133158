"""Files that Spark passes over without a word."""

import os
from pathlib import Path

import pytest

from boostqa.config import Source
from boostqa.errors import ConfigError
from boostqa.sources import read_records
from boostqa.sources.listing import passed_over

LATIN = os.fsdecode(b"caf\xe9.md")


@pytest.fixture
def notes(tmp_path):
    for name in (
        "plain.md",
        "é.md",
        LATIN,
        LATIN.replace(".md", ".pdf"),
        f".{LATIN}",
        f"old/{LATIN}",
        f"year=1/{LATIN}",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("# Note\n\nSome words.\n")
    (tmp_path / "gone.md").symlink_to("nowhere")
    return tmp_path


def test_names_that_are_no_utf_8_and_dangling_links_are_found_where_spark_looks(notes):
    def found(path, *about):
        return [str(Path(f).relative_to(notes)) for f in passed_over(str(path), *about)]

    latin = r"caf\udce9.md"
    assert found(notes, (".md",), True) == [latin, "gone.md", f"old/{latin}", f"year=1/{latin}"]
    assert found(notes, (), False) == [latin, r"caf\udce9.pdf", "gone.md", f"year=1/{latin}"]
    assert found(f"file://{notes}/*.md", (), False) == [latin, "gone.md"]
    assert passed_over(f"{notes}/{{plain,é}}.md", (), False) == passed_over("s3a://bucket/x", (), False) == []


def test_source_with_a_file_that_spark_does_not_see_is_an_error(spark, notes):
    with pytest.raises(ConfigError, match=r"Spark does not see 4 file\(s\) of .*caf.udce9\.md, .*gone\.md"):
        read_records(spark, Source(name="s", path=str(notes), format="text"))
