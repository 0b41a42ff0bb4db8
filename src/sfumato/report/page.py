"""The page: one HTML file that needs nothing else, no network and no script."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from io import BytesIO

from matplotlib.figure import Figure

DPI = 144

STYLE = """
:root { --ink: #26221f; --paper: #fbf8f4; --line: #e4dcd3; --accent: #8c4a2f; --soft: #6d645c; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
       font: 16px/1.55 ui-sans-serif, system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-weight: 600; font-size: 1.9rem; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .6rem; padding-top: 1.2rem;
     border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: .4rem 0 .8rem; }
.lead, figcaption, .note { color: var(--soft); }
nav { margin: 1rem 0 0; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; }
nav a { color: var(--accent); text-decoration: none; }
nav a:hover { text-decoration: underline; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .65rem .32rem 0; text-align: left; border-bottom: 1px solid var(--line);
         vertical-align: top; }
th { font-weight: 600; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.best { font-weight: 700; color: var(--accent); }
figure { margin: .6rem 0 1rem; }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--accent); }
img { max-width: 100%; height: auto; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .9em; }
pre { background: #f2ece4; padding: .8rem 1rem; overflow-x: auto; border-radius: 4px; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ece6df; --paper: #1d1a18; --line: #3a342f; --accent: #e0a184; --soft: #a79c91; }
  img { background: #fbf8f4; border-radius: 4px; } pre { background: #2a2522; } }
"""


def picture(figure: Figure, caption: str) -> str:
    """Return a figure as an inline image with its caption, which is also its text alternative."""
    return inline(png(figure), caption)


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def inline(data: bytes, caption: str) -> str:
    """Return what :func:`png` made as an inline image with its caption."""
    # The header of a PNG file holds the width in these bytes; a page has 96 dots an inch.
    width = round(int.from_bytes(data[16:20], "big") * 96 / DPI)
    encoded = b64encode(data).decode()
    return (
        f'<figure><img src="data:image/png;base64,{encoded}" width="{width}" '
        f'alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def pairs(values: Mapping[str, object]) -> str:
    """Return names and values as a two-column table."""
    rows = "".join(
        f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>"
        for name, value in values.items()
    )
    return f'<div class="scroll"><table>{rows}</table></div>'


def grid(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    best: Iterable[tuple[int, int]] = (),
) -> str:
    """Return a table of numbers; the first column names the rows, ``best`` cells are marked."""
    marked = set(best)
    head = "".join(
        f'<th class="{"number" if i else ""}">{escape(name)}</th>' for i, name in enumerate(header)
    )
    body = ""
    for i, row in enumerate(rows):
        cells = "".join(
            f'<td class="{"number" if j else ""}{" best" if (i, j) in marked else ""}">'
            f"{escape(cell)}</td>"
            for j, cell in enumerate(row)
        )
        body += f"<tr>{cells}</tr>"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def listing(lines: Iterable[str]) -> str:
    """Return lines as a list."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def folded(summary: str, content: str) -> str:
    """Return HTML that a click on its summary unfolds."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph."""
    return f'<p class="{kind}">{escape(text)}</p>'


def render(title: str, lead: str, sections: Mapping[str, str]) -> str:
    """Return the page: title, lead, a list of contents, and sections of HTML by heading."""
    names = {heading: f"s{i}" for i, heading in enumerate(sections)}
    links = "".join(f'<a href="#{names[h]}">{escape(h)}</a>' for h in sections)
    body = "".join(
        f'<section><h2 id="{names[h]}">{escape(h)}</h2>{content}</section>'
        for h, content in sections.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p><nav>{links}</nav>{body}'
        "</main></body></html>\n"
    )
