"""The page of a detection: a player with its timeline, events, backgrounds, pictures, measures."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from matplotlib.figure import Figure

from sfumato.report import page
from sfumato.video import Event, FrameScore

STYLE = """<style>
.player img { width: min(100%, 44rem); display: block; border-radius: 4px; background: #000; }
.player canvas { width: min(100%, 44rem); height: 5rem; display: block; cursor: crosshair;
                 margin: .4rem 0; }
.player button { font: inherit; color: var(--accent); background: none; cursor: pointer;
                 border: 1px solid var(--line); border-radius: 4px; padding: .15rem .8rem; }
tr.event { cursor: pointer; } tr.event:hover { background: #8c4a2f22; }
tr.event img { width: 8rem; }
</style>"""

SCRIPT = """<script>
(() => {
const data = JSON.parse(document.getElementById('detection').textContent);
const picture = document.getElementById('picture'), line = document.getElementById('timeline');
const label = document.getElementById('when'), button = document.getElementById('play');
let now = 0, timer = null;
const first = data.times[0], length = Math.max(data.times.at(-1) - first, 1e-9);
const most = Math.max(...data.scores, data.threshold * 1.2, 1e-9);
const x = t => (t - first) / length * line.width;
function draw() {
  line.width = line.clientWidth * devicePixelRatio;
  line.height = line.clientHeight * devicePixelRatio;
  const c = line.getContext('2d'), h = line.height, style = getComputedStyle(document.body);
  c.fillStyle = '#8c4a2f33';
  for (const e of data.events) c.fillRect(x(e.start), 0, Math.max(x(e.end) - x(e.start), 3), h);
  c.strokeStyle = style.color; c.lineWidth = devicePixelRatio; c.beginPath();
  data.scores.forEach((s, i) => c.lineTo(x(data.times[i]), h - s / most * h * .95));
  c.stroke(); c.strokeStyle = '#8c4a2f'; c.setLineDash([4, 4]); c.beginPath();
  c.moveTo(0, h - data.threshold / most * h * .95);
  c.lineTo(line.width, h - data.threshold / most * h * .95); c.stroke(); c.setLineDash([]);
  c.beginPath(); c.moveTo(x(data.kept[now]), 0); c.lineTo(x(data.kept[now]), h); c.stroke();
}
function show(i) {
  now = Math.max(0, Math.min(i, data.pictures.length - 1));
  picture.src = 'data:image/jpeg;base64,' + data.pictures[now];
  label.textContent = data.kept[now].toFixed(2) + ' s';
  draw();
}
function seek(t) {
  let best = 0;
  data.kept.forEach((k, i) => { if (Math.abs(k - t) < Math.abs(data.kept[best] - t)) best = i; });
  show(best);
}
function stop() { clearInterval(timer); timer = null; button.textContent = 'Play'; }
button.onclick = () => {
  if (timer) return stop();
  button.textContent = 'Pause';
  timer = setInterval(() => show((now + 1) % data.pictures.length), 100);
};
line.onclick = e => { stop(); seek(first + e.offsetX / line.clientWidth * length); };
document.querySelectorAll('tr.event').forEach(row =>
  row.onclick = () => { stop(); seek(Number(row.dataset.time)); picture.scrollIntoView(); });
addEventListener('resize', draw);
show(0);
})();
</script>"""


def player(
    scores: Sequence[FrameScore],
    events: Sequence[Event],
    pictures: Mapping[int, bytes],
    threshold: float,
) -> str:
    """Return the player: kept pictures, the timeline of the score, and what drives them.

    Parameters
    ----------
    scores : sequence of FrameScore
    events : sequence of Event
    pictures : mapping of positions in ``scores`` to JPEG bytes
    threshold : float
        Of the score of a frame with an event.
    """
    data = {
        "times": [round(s.time, 3) for s in scores],
        "scores": [round(s.score, 5) for s in scores],
        "events": [{"start": e.start, "end": e.end} for e in events],
        "threshold": threshold,
        "kept": [round(scores[i].time, 3) for i in pictures],
        "pictures": [_base64(picture) for picture in pictures.values()],
    }
    return (
        f'{STYLE}<div class="player"><img id="picture" alt="Frame with what changed in colour">'
        '<canvas id="timeline" aria-label="Share of the frame that changed, over time"></canvas>'
        '<button id="play">Play</button> <span id="when" class="note"></span></div>'
        f'<script type="application/json" id="detection">{json.dumps(data)}</script>{SCRIPT}'
    )


def event_table(
    events: Sequence[Event], scores: Sequence[FrameScore], pictures: Mapping[int, bytes]
) -> str:
    """Return the events as rows that the player follows when they are clicked."""
    if not events:
        return page.paragraph("No event was found.", "note")
    heads = ("", "start s", "end s", "peak s", "largest px", "peak %", "box")
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(_event_row(event, scores, pictures) for event in events)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _event_row(event: Event, scores: Sequence[FrameScore], pictures: Mapping[int, bytes]) -> str:
    nearest = min(pictures, key=lambda i: abs(scores[i].time - event.peak_time))
    image = f'<img alt="" src="data:image/jpeg;base64,{_base64(pictures[nearest])}">'
    box = "" if event.box is None else "{2} x {3} at {0}, {1}".format(*event.box)
    cells = [
        f"{event.start:.2f}",
        f"{event.end:.2f}",
        f"{event.peak_time:.2f}",
        str(event.area),
        f"{100 * event.peak_score:.2f}",
        box,
    ]
    numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    return f'<tr class="event" data-time="{event.peak_time}"><td>{image}</td>{numbers}</tr>'


def panels(rows: Sequence[Mapping[str, np.ndarray]]) -> Figure:
    """Draw rows of pictures, each with the same headings.

    Parameters
    ----------
    rows : sequence of mappings of headings to arrays of shape (h, w) or (h, w, 3)
    """
    headings = list(rows[0])
    height, width = next(iter(rows[0].values())).shape[:2]
    size = (2.4 * len(headings), 0.25 + 2.4 * height / width * len(rows))
    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    grid = figure.subplots(len(rows), len(headings), squeeze=False)
    for axes, row in zip(grid, rows, strict=True):
        for panel, heading in zip(axes, headings, strict=True):
            panel.imshow(row[heading], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            panel.axis("off")
    for panel, heading in zip(grid[0], headings, strict=True):
        panel.set_title(heading, fontsize=9)
    return figure


def _base64(content: bytes) -> str:
    return b64encode(content).decode()
