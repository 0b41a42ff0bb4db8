"""Figures: each function draws one, from arrays, and returns it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.cluster.hierarchy import dendrogram

from sfumato.evaluation import Summary, Table, columns_of, meaning_of

INK, ACCENT, FAINT = "#26221f", "#8c4a2f", "#b8aea4"
PALETTE = (
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1",
    "#9c755f", "#76b7b2", "#edc948", "#d37295", "#7f7f7f",
)  # fmt: skip
MAX_POINTS = 5000


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained", facecolor="none")


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def curves(records: Sequence[Mapping[str, float]], names: Sequence[str]) -> Figure:
    """Draw one panel for each named quantity over the epochs."""
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = _figure(3.4 * columns, 2.4 * rows)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    epochs = [record["epoch"] for record in records]
    for panel, name in zip(panels, names, strict=False):
        panel.plot(epochs, [record[name] for record in records], color=ACCENT, linewidth=1.8)
        panel.set_title(name, fontsize=10)
        panel.set_xlabel("epoch", fontsize=9)
        _plain(panel)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    return figure


def latent_map(codes: np.ndarray, y: np.ndarray | None, axis: str) -> Figure:
    """Draw two coordinates of the codes, coloured by class where there are classes."""
    figure = _figure(6.4, 5.0)
    panel = figure.subplots()
    shown = slice(0, MAX_POINTS)
    points = codes[shown]
    if y is None:
        panel.scatter(points[:, 0], points[:, 1], s=6, color=ACCENT, alpha=0.5, linewidths=0)
    else:
        for i, label in enumerate(np.unique(y)):
            rows = y[shown] == label
            colour = PALETTE[i % len(PALETTE)]
            panel.scatter(points[rows, 0], points[rows, 1], s=7, color=colour, alpha=0.65,
                          linewidths=0, label=str(label))  # fmt: skip
        if len(np.unique(y)) <= len(PALETTE):
            panel.legend(title="class", fontsize=8, markerscale=2, loc="center left",
                         bbox_to_anchor=(1.0, 0.5), frameon=False)  # fmt: skip
    panel.set_xlabel(f"{axis} 1", fontsize=9)
    panel.set_ylabel(f"{axis} 2", fontsize=9)
    _plain(panel)
    return figure


def as_picture(row: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return a flat channels-first row as (height, width) or (height, width, 3)."""
    picture = row.reshape(shape)
    return picture[0] if shape[0] == 1 else np.moveaxis(picture[:3], 0, -1)


def _tallness(shape: tuple[int, int, int]) -> float:
    """Return height / width of a picture's panel: a strip gets a panel with room around it."""
    return min(4.0, max(0.4, shape[1] / shape[2]))


@dataclass(frozen=True)
class Look:
    """How flat rows are shown as pictures: their shape, and what is black and what is white."""

    shape: tuple[int, int, int]
    low: float
    high: float
    ink: bool
    """Grey levels are ink on paper: the highest is black."""

    @classmethod
    def of(cls, X: np.ndarray, shape: tuple[int, int, int]) -> "Look":
        """Show X from its lowest to its highest value; mostly empty pictures as ink on paper."""
        low, high = float(X.min()), float(X.max())
        return cls(shape, low, high, bool(np.median(X) < low + 0.1 * (high - low)))


def image_rows(groups: Mapping[str, np.ndarray], look: Look) -> Figure:
    """Draw each group of flat images as one row of pictures, named at its left."""
    columns = max(len(group) for group in groups.values())
    figure = _figure(0.75 * columns + 1.2, 0.78 * len(groups) * _tallness(look.shape))
    panels = figure.subplots(len(groups), columns, squeeze=False)
    for line, (name, group) in zip(panels, groups.items(), strict=True):
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        _draw(line, group, look)
    return figure


def image_grid(X: np.ndarray, look: Look, columns: int = 12) -> Figure:
    """Draw flat images in a grid."""
    rows = math.ceil(len(X) / columns)
    figure = _figure(0.72 * columns, 0.74 * rows * _tallness(look.shape))
    panels = figure.subplots(rows, columns, squeeze=False)
    _draw(list(panels.flat), X, look)
    return figure


def tree(linkage: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw a tree of clusters from left to right, joined where they share edges."""
    figure = _figure(6.4, 0.28 * len(names) + 0.9)
    panel = figure.subplots()
    drawn = dendrogram(linkage, no_plot=True, labels=list(names))
    for places, heights in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        panel.plot(heights, places, color=ACCENT, linewidth=1.4)
    panel.set_yticks(10 * np.arange(len(names)) + 5, drawn["ivl"], fontsize=9)
    low = min(0.95, float(linkage[:, 2].min()))
    panel.set_xlim(low - 0.1 * (1 - low), 1.0 + 0.03 * (1 - low))
    ticks = np.linspace(low, 1, 4)
    panel.set_xticks(ticks, [f"{100 * (1 - tick):.2g} %" for tick in ticks])
    panel.set_xlabel("edges of one cluster that lead to the other", fontsize=9)
    _plain(panel)
    return figure


def numbers_of_clusters(
    proposed: Sequence[int], lines: Mapping[str, Sequence[float]], chosen: int
) -> Figure:
    """Draw what speaks for each number of clusters, the chosen one marked."""
    figure = _figure(6.4, 2.6)
    panel = figure.subplots()
    for colour, (name, values) in zip(PALETTE, lines.items(), strict=False):
        panel.plot(proposed, values, "o-", color=colour, linewidth=1.6, markersize=4, label=name)
    panel.axvline(chosen, color=FAINT, linestyle="--", linewidth=1.2)
    panel.set_xlabel("clusters", fontsize=9)
    panel.set_ylim(-0.02, 1.02)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _plain(panel)
    return figure


def _draw(panels: Sequence[Axes], X: np.ndarray, look: Look) -> None:
    cmap = "gray_r" if look.ink else "gray"
    for panel in panels:
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_visible(False)
    for panel, row in zip(panels, X, strict=False):
        picture = (as_picture(row, look.shape) - look.low) / max(look.high - look.low, 1e-12)
        panel.imshow(np.clip(picture, 0, 1), cmap=cmap, vmin=0, vmax=1)


def comparison(table: Table) -> Figure:
    """Draw one panel for each measure: a bar for each model, its deviation, a dot for each seed."""
    shared = min(2, len(table))
    counts = {name: sum(name in row for row in table.values()) for name in columns_of(table)}
    names = [name for name, count in counts.items() if count >= shared]
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = _figure(3.8 * columns, (0.9 + 0.24 * len(table)) * rows)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, name in zip(panels, names, strict=False):
        _bars(panel, {model: row[name] for model, row in table.items() if name in row})
        panel.set_title(meaning_of(name).label, fontsize=10)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    return figure


def _bars(panel: Axes, cells: Mapping[str, Summary]) -> None:
    means = [cell.mean for cell in cells.values()]
    spread = [cell.deviation or 0.0 for cell in cells.values()]
    panel.barh(list(cells), means, xerr=spread, color=FAINT, ecolor=INK, height=0.7)
    for model, cell in cells.items():
        panel.plot(cell.values, [model] * cell.n, ".", color=ACCENT, markersize=5)
    panel.invert_yaxis()
    panel.tick_params(labelsize=8)
    _plain(panel)
