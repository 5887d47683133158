"""The page of a warehouse, in a browser: numbers as `boostqa status --json` has them, filters, and nothing from outside."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from boostqa.report import page
from tests.small_line import EVIL

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium on the path (Debian: apt-get install chromium)")


class Page(HTMLParser):
    """What a reader finds in a DOM: the texts of table rows by the table's id, of elements by id, and items as shown."""

    def __init__(self, dom):
        super().__init__()
        self.rows, self.by_id, self.shown, self.tags = {}, {}, [], []
        self._table = self._id = None
        self.feed(dom)

    def handle_starttag(self, tag, attributes):
        about = dict(attributes)
        self.tags.append((tag, about))
        if tag == "table":
            self._table = self.rows.setdefault(about.get("id"), [])
        if tag == "tr" and self._table is not None:
            self._table.append([])
        if tag in ("td", "th") and self._table is not None:
            self._table[-1].append("")
        if "id" in about:
            self._id = about["id"]
            self.by_id[self._id] = ""
        if about.get("data-kind") and "hidden" not in about:
            self.shown.append((about["data-kind"], about.get("data-fate")))

    def handle_data(self, data):
        if self._table and self._table[-1]:
            self._table[-1][-1] += data.strip()
        if self._id:
            self.by_id[self._id] += data

    def handle_endtag(self, tag):
        if tag == "table":
            self._table = None
        self._id = None if tag in ("p", "dd", "table") else self._id

    def column(self, table, number):
        return {row[0]: row[number] for row in self.rows[table] if len(row) > number}


@pytest.fixture(scope="module")
def file(small_line, small_status, tmp_path_factory):
    output = tmp_path_factory.mktemp("output")
    assert page.write(str(output), page.collect(small_line, small_status)) == f"{output}/report.html"
    return output / "report.html"


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """browse(URL) -> (the DOM when its script has run, what the page asked for, what its console said)."""
    folder = tmp_path_factory.mktemp("browser")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
             f"--user-data-dir={folder}/user", f"--log-net-log={folder}/net.json", "--dump-dom"]  # fmt: skip

    def open_page(url):
        ended = subprocess.run([BROWSER, *flags, url], check=True, capture_output=True, text=True, timeout=180)
        jobs = re.findall(r'"initiator":"([^"]+)".*?"url":"([^"]+)"', (folder / "net.json").read_text())
        asked = {url for initiator, url in jobs if initiator != "not an origin"}  # the browser's own have none
        return ended.stdout, asked, [line for line in ended.stderr.splitlines() if "CONSOLE" in line]

    return open_page


@needs_browser
def test_what_a_page_asks_for_is_seen_by_these_tests(browse, tmp_path):
    (tmp_path / "evil.html").write_text(f"<p>{EVIL}")
    assert browse((tmp_path / "evil.html").as_uri())[1] == {"https://evil.example/", "https://evil.example/x.png"}


@needs_browser
def test_page_opens_from_a_file_asks_for_nothing_and_has_the_numbers_of_status(browse, file, small_status):
    dom, asked, said = browse(file.as_uri())
    assert (asked, said) == (set(), [])  # neither a request, nor a try that the page's policy forbade, nor an error
    seen, status = Page(dom), small_status
    assert seen.by_id["mix-rows"] == "1" == str(status["tables"]["mix"]["rows"])
    assert seen.by_id["kept-tokens"] == f"{status['kept_tokens']:,}" == "1,234"
    rows = {name: f"{status['tables'][name]['rows']:,}" for name in ("plan", "draft", "refined", "clean", "mix")}
    assert {k: v for k, v in seen.column("funnel", 1).items() if k in rows} == rows
    for row in status["stages"]:
        assert seen.column("stages", 1)[row["stage"]] == f"{row['rows_in']:,}"
        assert seen.column("stages", 4)[row["stage"]] == f"{row['rejected']:,}"
    for row in status["token_usage"]["causes"]:
        assert seen.column("causes", 4)[row["cause"]] == f"{row['tokens']:,}"
        assert seen.column("causes", 5)[row["cause"]] == f"{row['share']:.1%}"
    assert seen.by_id["outcomes"].split(".")[0].replace("\n", "") == "1 holds, 1 warns, 0 quarantined, 0 blocks"
    assert "5 of 5 items, 6 of 6 rejects shown" in seen.by_id["fitting"]
    assert not [tag for tag, _ in seen.tags if tag in ("img", "link", "iframe", "object")]
    assert [tag for tag, _ in seen.tags].count("script") == 1


@needs_browser
@pytest.mark.parametrize(
    ("fragment", "items", "rejects"),
    [
        ("#fate=kept", ["kept"], []),
        ("#fate=refine%3A+disputed", ["refine: disputed"] * 2, ["refine: disputed"] * 2),
        ("#discipline=0541&difficulty=H3", ["refine: disputed"] * 2, []),
        ("#text=turned", ["clean: cut_off"], ["clean: cut_off"]),
        ("#strategy=multi_grade", ["clean: cut_off", "kept", "no draft", "refine: disputed", "refine: disputed"], None),
    ],
)
def test_filters_leave_what_fits(browse, file, fragment, items, rejects):
    seen = Page(browse(file.as_uri() + fragment)[0])
    assert sorted(fate for kind, fate in seen.shown if kind == "item") == items
    assert rejects is None or [fate for kind, fate in seen.shown if kind == "reject"] == rejects


def test_page_is_bounded_hostile_texts_are_texts_and_figures_have_names(file):
    text = file.read_text(encoding="utf-8")
    assert EVIL not in text and "&lt;img src=" in text
    assert "\u202e" not in text and "\x1b" not in text and "\\u202eturned\\u001b[31m \\frac{1}{2}" in text
    assert text.count('data-fate="seed: too_short"') == page.REJECTS_PER_RULE
    assert not re.findall(r'(?:src|href)="(?!#|quality/verdicts\.html)[^"]*"', text)
    seen = Page(text)
    regions = [about for _, about in seen.tags if about.get("role") == "region"]
    assert len(regions) >= 8 and all(about["aria-label"] for about in regions)
    assert "0.25" in text and "0.10 to 0.90, n 4" in text and "0533 Physics" in text


def test_page_says_first_why_nothing_is_exported(small_line, small_status):
    gate = {
        "round": "main",
        "table": "clean",
        "gate": "min_rows",
        "success": False,
        "severity": "warn",
        "expected": "1",
    }
    facts = page.collect(small_line, small_status)
    assert "Nothing is exported" not in page.render(facts)
    empty = small_status["tables"] | {"mix": small_status["tables"]["mix"] | {"rows": 0}}
    warned = [gate | {"outcome": "warns", "observed": "no \u202eitem is left"}]
    text = page.render(facts | {"status": small_status | {"tables": empty, "gates": warned}})
    assert "Nothing is exported.</strong> No \\u202eitem is left." in text
    blocked = [gate | {"outcome": "blocks", "observed": "a voter guesses"}]
    text = page.render(facts | {"status": small_status | {"gates": blocked}})
    assert "Nothing is exported.</strong> A voter guesses." in text
