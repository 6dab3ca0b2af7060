"""A report: what was found, as one self-contained HTML page and as Markdown with figures beside it."""

import io
from html import escape
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from curation_gym.evaluation.statistics import Estimate
from curation_gym.files import replace_file
from experiments.harness.figures import INK

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1f2430; --page: #fdfdfc; --soft: #5c6470; --line: #d9dce1;
  --fill: #f2f3f5; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e4e7ec; --page: #16191f; --soft: #9aa3af; --line: #343a45; --fill: #1f242c; }}
}}
body {{ margin: 0 auto; padding: 2.5rem 1.25rem 5rem; max-width: 58rem; color: var(--ink);
  background: var(--page); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }}
h1 {{ font-size: 1.9rem; line-height: 1.2; margin: 0 0 1rem; }}
h2 {{ font-size: 1.3rem; margin: 2.75rem 0 .75rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line); }}
h3 {{ font-size: 1.05rem; margin: 1.75rem 0 .5rem; }}
p {{ margin: .6rem 0; max-width: 46rem; }}
pre {{ font: .88em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; padding: .75rem 1rem;
  background: var(--fill); border-radius: .4rem; white-space: pre-wrap; overflow-wrap: anywhere; }}
.table {{ overflow-x: auto; margin: .75rem 0; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }}
th, td {{ padding: .35rem 0 .35rem 1.1rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }}
th {{ color: var(--soft); font-weight: 600; }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0; }}
figure {{ margin: 1rem 0; }}
figure svg {{ max-width: 100%; height: auto; display: block; }}
figcaption, .caption {{ color: var(--soft); font-size: .9rem; margin-top: .35rem; max-width: 46rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def shown(e: Estimate, digits: int = 3) -> str:
    """An estimate with its interval."""
    return f"{e.value:.{digits}f} [{e.low:.{digits}f}, {e.high:.{digits}f}]"


class Report:
    """Collects what is to be said, in order, and writes it twice: ``report.html`` and ``report.md``.

    Text is plain; nothing in it is read as HTML. Tables show floats with three decimals and everything else
    as it is, so that a caller who wants another form passes strings.

    Args:
        title: of the page.
        about: the docstring of the study's module: what it says below its command is the page's first text.
    """

    def __init__(self, title: str, about: str | None = None) -> None:
        self.title = title
        self._html: list[str] = []
        self._markdown: list[str] = [f"# {title}"]
        self._figures: dict[str, Figure] = {}
        if about is not None:
            self.add_text(about.split("\n\n", 2)[2].strip())

    def add_heading(self, text: str, level: int = 2) -> "Report":
        """A heading of level 2 or 3."""
        self._html.append(f"<h{level}>{escape(text)}</h{level}>")
        self._markdown.append(f"{'#' * level} {text}")
        return self

    def add_text(self, text: str) -> "Report":
        """A paragraph."""
        self._html.append(f"<p>{escape(text)}</p>")
        self._markdown.append(text)
        return self

    def add_code(self, text: str) -> "Report":
        """A command or a file, as it is."""
        self._html.append(f"<pre>{escape(text)}</pre>")
        self._markdown.append(f"```\n{text}\n```")
        return self

    def add_table(self, frame: pd.DataFrame, caption: str = "") -> "Report":
        """A table with the frame's columns; its index isn't shown."""
        cells = frame.map(lambda value: f"{value:.3f}" if isinstance(value, float) else str(value)).astype(str)
        table = cells.to_html(index=False, border=0, escape=True)
        note = f'<p class="caption">{escape(caption)}</p>' if caption else ""
        self._html.append(f'<div class="table">{table}</div>{note}')
        header = [str(column) for column in cells.columns]
        rule = [":--", *["--:"] * (len(header) - 1)]
        lines = [_markdown_row(row) for row in (header, rule, *cells.to_numpy().tolist())]
        self._markdown.append("\n".join(lines))
        if caption:
            self._markdown.append(caption)
        return self

    def add_figure(self, figure: Figure, name: str, caption: str = "") -> "Report":
        """A figure; it is also written as ``figures/NAME.png`` and ``.svg``.

        Raises:
            ValueError: for a name used before.
        """
        if name in self._figures:
            raise ValueError(f"figure names must differ, {name!r} was used before")
        self._figures[name] = figure
        svg = _svg(figure, name, transparent=True)
        picture = svg[svg.index("<svg") :].replace(INK, "currentColor")
        self._html.append(f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>")
        self._markdown.append(f"![{caption or name}](figures/{name}.png)")
        if caption:
            self._markdown.append(caption)
        return self

    def markdown(self) -> str:
        """The page as Markdown; its figures are expected in ``figures/``."""
        return "\n\n".join(self._markdown) + "\n"

    def write(self, out: Path) -> Path:
        """Write everything below ``out``; return the path of the page."""
        for name, figure in self._figures.items():
            picture = io.BytesIO()
            figure.savefig(picture, format="png", dpi=160, facecolor="white")
            _write(out / "figures" / f"{name}.png", picture.getvalue())
            _write(out / "figures" / f"{name}.svg", _svg(figure, name, transparent=False).encode())
        page = _PAGE.format(title=escape(self.title), body="\n".join(self._html))
        _write(out / "report.md", self.markdown().encode())
        _write(out / "report.html", page.encode())
        return out / "report.html"


def _svg(figure: Figure, name: str, *, transparent: bool) -> str:
    # Text stays text: small, selectable, in the page's font. The salt makes ids unique in the page.
    text = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=transparent, metadata={"Date": None})
    return text.getvalue()


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _write(path: Path, content: bytes) -> None:
    replace_file(path, lambda scratch: scratch.write_bytes(content))
