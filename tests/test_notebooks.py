"""Each notebook runs where it lies: as plain Python, with the platform's widgets, and as Jupyter opens it."""

import runpy
from types import SimpleNamespace

import pytest

from boostqa import notebook, pipeline, preview
from boostqa.report import heat_maps, status
from tests.processes import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
SHOWN = {  # what a reader must find
    "look_at_items": ("42", "refine", "disputed", "d0: in the mix"),
    "read_results": (
        "plan 5 -> draft 4",
        "dispute",
        "0.25 (0.10 to 0.90, n 4)",
        "0533 Physics",
        "100% (44% to 100%, n 3)",
    ),
    "run_a_line": ("run r7: probe, plan; ",),
    "work_on_a_prompt": ("kept 0 of 0", "1 hold, 1 fail", "min_rows"),
}


class Widgets:
    """Refuses what the platform refuses: to get a widget that was not made."""

    def __init__(self, **chosen):
        self.chosen, self.made = chosen, {}

    def text(self, name, default, label):
        self.made[name] = self.chosen.get(name, default)

    def get(self, name):
        if name not in self.made:
            raise ValueError(f"InputWidgetNotDefined: {name}")
        return self.made[name]


@pytest.fixture
def asked(small_line, small_status, tmp_path, monkeypatch):
    """What the notebooks asked of the pipeline; they start in a folder that is not the repository's."""
    calls = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "warehouse", lambda conf: calls.append(conf) or small_line)
    monkeypatch.setattr(status, "collect", lambda _: small_status)  # many seconds, and the same each time
    monkeypatch.setattr(pipeline, "run", lambda conf, stages: calls.append((conf, stages)) or "r7")
    gates = [
        {"table": "clean", "gate": gate, "success": success, "severity": "block", "observed": "0", "expected": "1"}
        for gate, success in (("min_rows", False), ("languages", True))
    ]
    facts = {"items": [], "gates": gates, "cost": {"requests": 0, "reused": 0, "seconds": 0}}
    monkeypatch.setattr(preview, "preview", lambda conf, n: calls.append((conf, n)) or facts)
    for name, value in {"item": "d0", "from": "probe", "to": "plan", "set": "plan.tokens=77"}.items():
        monkeypatch.setenv(f"BOOSTQA_{name.upper()}", value)
    return calls


def _conf(call):
    return call[0] if isinstance(call, tuple) else call


def test_every_notebook_is_here():
    assert {file.stem for file in NOTEBOOKS} == SHOWN.keys()


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook_as_plain_python_takes_its_conf_from_its_own_folder(file, asked, capsys):
    runpy.run_path(str(file))
    shown = capsys.readouterr().out
    assert [text for text in SHOWN[file.stem] if text not in shown] == []
    assert _conf(asked[0]).plan.tokens == 77 and _conf(asked[0]).seed.sources[0].path.startswith("conf/demo/")


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook_with_widgets_takes_its_conf_from_them(file, asked, tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text((ROOT / "conf" / "demo.yaml").read_text())
    widgets = Widgets(config=f"{tmp_path}/mine.yaml", set="plan.tokens=88 warehouse=w", item="d0", to="plan", n="3")
    widgets.chosen["from"] = "probe"
    runpy.run_path(str(file), {"dbutils": SimpleNamespace(widgets=widgets)})
    shown = capsys.readouterr().out
    assert [text for text in SHOWN[file.stem] if text not in shown] == []
    assert (_conf(asked[0]).plan.tokens, _conf(asked[0]).warehouse) == (88, "w")
    assert file.stem != "work_on_a_prompt" or asked[0][1] == 3


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook_as_jupyter_opens_it(file, asked, monkeypatch, capsys):
    opened = pytest.importorskip("jupytext").read(file)
    monkeypatch.chdir(file.parent)  # where Jupyter starts
    names = {}
    for cell in opened.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, file.name, "exec"), names)  # noqa: S102
    shown = capsys.readouterr().out
    assert [text for text in SHOWN[file.stem] if text not in shown] == []


def test_heat_map_of_a_notebook_is_coloured_and_has_its_intervals():
    cells = [heat_maps.Cell("0.25", 0.25, "0.10 to 0.90, n 4"), None]
    made = notebook.coloured(heat_maps.HeatMap("Accuracy", "guessing gives 0.25", "", ("H4", "H5"), [("0533", cells)]))
    html = made.to_html()
    assert "0.25 (0.10 to 0.90, n 4)" in html and "rgba(59, 130, 196, 0.138)" in html and "Accuracy: guessing" in html
