"""A figure as SVG. Figures are drawn without pyplot, whose state all threads of a process share."""

import io

from matplotlib import rc_context
from matplotlib.figure import Figure


def svg(figure: Figure) -> str:
    """The same figure gives the same text."""
    text = io.StringIO()
    with rc_context({"svg.hashsalt": "boostqa", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
