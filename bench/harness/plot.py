"""The result as a picture: small panels of horizontal bars, one panel per measure, written as plain SVG."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from xml.sax.saxutils import escape

from . import figures
from .figures import Figure

# Sizes in pixels. A bar's label stands left of it, its value right of it.
WIDTH = 980
MARGIN = 24
GAP = 36
LABEL = 170
VALUE = 96
BAR = 16
ROW = 24
HEAD = 40
TOP = 104
COLUMNS = 2

INK = "#1f2933"
FAINT = "#6b7785"
RULE = "#d9dee4"
RANGE = "#52606d"
# irp's own in one family, others in another, so that one sees at a glance who is who.
COLOURS = {
    "caddy-ssh": "#9aa5b1",
    "haproxy-rathole": "#c9a86a",
    "irp-direct": "#b5d0e6",
    "irp-sshd": "#7fb0d8",
    "irp-http2": "#4a8cc2",
    "irp-native": "#1f5f99",
}
OTHERS = "#8892a0"


@dataclass(frozen=True)
class Panel:
    """One measure: a title with its unit, and a figure per contestant."""

    title: str
    better: str
    figure: Callable[[dict, str], Figure | None]
    digits: int = 0


def svg(result: dict) -> str:
    """The whole picture."""
    panels = [
        panel
        for panel in _panels(result)
        if any(panel.figure(result, entry["key"]) for entry in result["contestants"])
    ]
    height = HEAD + ROW * len(result["contestants"]) + GAP
    rows = -(-len(panels) // COLUMNS)
    total = TOP + rows * height + MARGIN - GAP
    machine = result["machine"]
    rounds = len(result["rounds"])
    notes = [
        f"{machine['cpu']}, {machine['cores']} cores shared by load, edge, client and origin; {result['date'][:10]}",
        f"median of {rounds} interleaved round{'s' if rounds != 1 else ''}; thin line: lowest to highest",
    ]
    if result["quick"]:
        notes[1] = "A quick run: it shows that the harness works, its figures mean nothing"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{total}" viewBox="0 0 {WIDTH} {total}" '
        f'font-family="system-ui, sans-serif" role="img" aria-label="Benchmark of irp">',
        f'<rect width="{WIDTH}" height="{total}" fill="#ffffff"/>',
        _text(MARGIN, 36, "irp compared", size=20, weight=600),
        *(_text(MARGIN, 58 + 17 * line, note, size=12, fill=FAINT) for line, note in enumerate(notes)),
    ]
    width = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS
    for number, panel in enumerate(panels):
        left = MARGIN + (number % COLUMNS) * (width + GAP)
        parts += _panel(result, panel, left, TOP + number // COLUMNS * height, width)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panels(result: dict) -> list[Panel]:
    def over_rounds(pick: figures.Pick) -> Callable[[dict, str], Figure | None]:
        return lambda result, key: figures.figure(result, key, pick)

    def of_tunnels(result: dict, key: str) -> Figure | None:
        measured = result["tunnels"].get(key)
        return Figure.of([figures.tunnel_kib(measured)]) if measured else None

    more, less = "more is better", "less is better"
    return [
        Panel("Requests/s, 1 visitor", more, over_rounds(figures.rps(1))),
        Panel("Requests/s, 8 visitors", more, over_rounds(figures.rps(8))),
        Panel("Requests/s, 32 visitors", more, over_rounds(figures.rps(32))),
        Panel("Requests/s, 128 visitors", more, over_rounds(figures.rps(128))),
        Panel("CPU per request, 1 visitor, µs", less, over_rounds(figures.cpu(1))),
        Panel("CPU per request, 32 visitors, µs", less, over_rounds(figures.cpu(32))),
        Panel(f"p50 at {result['rate']:,.0f} requests/s, ms", less, over_rounds(figures.paced("p50")), 2),
        Panel(f"p99 at {result['rate']:,.0f} requests/s, ms", less, over_rounds(figures.paced("p99")), 2),
        Panel("Bulk down, MiB/s", more, over_rounds(figures.bulk("down"))),
        Panel("Bulk up, MiB/s", more, over_rounds(figures.bulk("up"))),
        Panel("Memory per open WebSocket, KiB", less, over_rounds(figures.websocket_kib)),
        Panel("Memory per idle tunnel on the edge, KiB", less, of_tunnels),
    ]


def _panel(result: dict, panel: Panel, left: float, top: float, width: float) -> list[str]:
    found = [(entry, panel.figure(result, entry["key"])) for entry in result["contestants"]]
    most = max((figure.high for _, figure in found if figure), default=0.0) or 1.0
    start, room = left + LABEL, width - LABEL - VALUE
    parts = [
        _text(left, top + 14, panel.title, size=14, weight=600),
        _text(left + width, top + 14, panel.better, size=11, fill=FAINT, anchor="end"),
    ]
    foot = top + HEAD - 8 + ROW * len(found)
    parts.append(
        f'<line x1="{start:.1f}" y1="{top + HEAD - 10:.1f}" x2="{start:.1f}" y2="{foot:.1f}" stroke="{RULE}"/>'
    )
    for number, (entry, figure) in enumerate(found):
        y = top + HEAD - 8 + number * ROW
        middle = y + BAR / 2
        parts.append(_text(start - 8, middle + 4, entry["title"], size=12, anchor="end"))
        if figure is None:
            parts.append(_text(start + 6, middle + 4, "–", size=12, fill=FAINT))
            continue
        length, low, high = (
            max(0.0, value) / most * room for value in (figure.median, figure.low, figure.high)
        )
        colour = COLOURS.get(entry["key"], OTHERS)
        parts.append(
            f'<rect x="{start:.1f}" y="{y:.1f}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
        )
        if high - low > 1:
            ends = f'x1="{start + low:.1f}" y1="{middle:.1f}" x2="{start + high:.1f}" y2="{middle:.1f}"'
            # Light below dark, to be seen on every colour.
            parts.append(f'<line {ends} stroke="#ffffff" stroke-width="3"/>')
            parts.append(f'<line {ends} stroke="{RANGE}"/>')
        shown = f"{figure.median:,.{panel.digits}f}"
        parts.append(_text(start + max(length, high) + 6, middle + 4, shown, size=12))
    return parts


def _text(
    x: float, y: float, text: str, *, size: int, fill: str = INK, weight: int = 400, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
