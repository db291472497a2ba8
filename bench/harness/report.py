"""The result in words: Markdown tables, and the verdict on each target."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

from . import figures, plot
from .contestants import BASELINE
from .figures import Figure, Pick
from .measures import STALLED, VISITORS

# Between these lines, docs/benchmarks.md belongs to the script; the prose around them to people.
BEGIN = "<!-- written by bench/run.py --publish: begin -->"
END = "<!-- written by bench/run.py --publish: end -->"

# Above this share of all cores, something else was running on the machine while a figure was taken.
NOISY = 0.1


def markdown(result: dict) -> str:
    """All tables of one run."""
    titles = {entry["key"]: entry["title"] for entry in result["contestants"]}
    parts = [_machine(result)]
    for heading, text in (
        ("Targets", _targets(result)),
        ("Requests per second", _loads(result, titles, figures.rps, lambda value: f"{value:,.0f}", "req/s")),
        (
            "CPU per request",
            _loads(
                result,
                titles,
                figures.cpu,
                lambda value: f"{value:,.0f}",
                "µs, all processes but the load generator",
            ),
        ),
        ("CPU by process, 32 visitors", _processes(result, titles)),
        (f"Latency at a fixed rate of {result['rate']:,.0f} requests/s", _latency(result, titles)),
        ("Bulk", _bulk(result, titles)),
        (f"Beside {STALLED} stalled downloads", _stalled(result, titles)),
        ("Memory", _memory(result, titles)),
    ):
        parts.append(f"### {heading}\n\n{text}")
    if result["errors"]:
        parts.append(
            "### Not measured\n\n" + "\n".join(f"- {_one_line(error)}" for error in result["errors"])
        )
    return "\n\n".join(parts) + "\n"


def verdicts(result: dict) -> str:
    """One line per target, for the terminal."""
    lines = []
    for target in figures.TARGETS:
        found = target.measured(result)
        shown = f"{found.median:.2f} ({found.low:.2f}–{found.high:.2f})" if found else "–"
        lines.append(f"{target.verdict(result):12}  {_limit(target):7}  {shown:20}  {target.text}")
    return "\n".join(lines)


def publish(result: dict, docs: pathlib.Path) -> None:
    """Writes the tables into docs/benchmarks.md and the plot beside it."""
    docs.mkdir(exist_ok=True)
    page = docs / "benchmarks.md"
    text = page.read_text() if page.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} has no lines '{BEGIN}' and '{END}'")
    plotted = "![Requests per second, CPU, latency, bulk and memory of every contestant](benchmarks.svg)"
    page.write_text(f"{head}{BEGIN}\n\n{plotted}\n\n{markdown(result)}\n{END}{tail}")
    (docs / "benchmarks.svg").write_text(plot.svg(result))


def _machine(result: dict) -> str:
    machine = result["machine"]
    virtual = ", virtual" if machine["virtual"] else ""
    lines = [
        f"Measured {result['date']} on {machine['cpu']}, {machine['cores']} cores{virtual}, {machine['memory_gib']} GiB, "
        f"{machine['kernel']}, {machine['system']}; load generator, edge, client and origin share them. "
        f"{len(result['rounds'])} interleaved rounds; cells show median (lowest–highest), and × the ratio to "
        "Caddy + ssh -R of the same round (median of the ratios).",
        "; ".join(f"{name}: {_one_line(version)}" for name, version in result["versions"].items()) + ".",
    ]
    if result["quick"]:
        lines.insert(0, "**A quick run: it shows that the harness works, its figures mean nothing.**")
    noisy = _noise(result)
    if noisy > NOISY:
        lines.append(
            f"**Other programs used up to {noisy:.0%} of the machine during a measurement: do not trust these figures.**"
        )
    return "\n\n".join(lines)


def _noise(result: dict) -> float:
    shares = [
        measured["foreign"]
        for filed in result["rounds"]
        for entry in filed.values()
        for measured in entry.values()
        if "foreign" in measured
    ]
    return max(shares, default=0.0)


def _targets(result: dict) -> str:
    rows = []
    for target in figures.TARGETS:
        found = target.measured(result)
        shown = f"{found.median:.2f} ({found.low:.2f}–{found.high:.2f})" if found else "–"
        rows.append([target.text, _limit(target), shown, target.verdict(result)])
    return _table(["ratio in the same round", "target", "measured", ""], rows)


def _limit(target: figures.Target) -> str:
    return f"{'≥' if target.at_least else '≤'} {target.limit:g}"


def _loads(
    result: dict,
    titles: dict[str, str],
    measure: Callable[[int], Pick],
    show: Callable[[float], str],
    unit: str,
) -> str:
    rows = [
        [title] + [_cell(result, key, measure(visitors), show) for visitors in VISITORS]
        for key, title in titles.items()
    ]
    heads = [f"{visitors} visitor{'s' if visitors > 1 else ''}" for visitors in VISITORS]
    return f"In {unit}.\n\n" + _table(["", *heads], rows)


def _processes(result: dict, titles: dict[str, str]) -> str:
    rows = []
    for key, title in titles.items():
        for process in figures.processes(result, key, 32):
            found = figures.figure(result, key, figures.cpu_of(32, process))
            # Microseconds per request are tenths of seconds per 100,000.
            rows.append([title, process, _range(found, lambda value: f"{value / 10:.1f}")])
    return "In CPU seconds per 100,000 requests.\n\n" + _table(["", "process", "CPU s"], rows, words=2)


def _latency(result: dict, titles: dict[str, str]) -> str:
    def show(value: float) -> str:
        return f"{value:.2f}"

    names = ("p50", "p90", "p99", "max")
    rows = [
        [title] + [_cell(result, key, figures.paced(name), show) for name in names]
        for key, title in titles.items()
    ]
    return "In ms, from the moment a request was due; 32 visitors.\n\n" + _table(["", *names], rows)


def _bulk(result: dict, titles: dict[str, str]) -> str:
    rows = []
    for key, title in titles.items():
        row = [title]
        for direction in ("down", "up"):
            row.append(_cell(result, key, figures.bulk(direction), lambda value: f"{value:,.0f}"))
            row.append(
                _range(figures.figure(result, key, figures.bulk_cpu(direction)), lambda value: f"{value:.1f}")
            )
        rows.append(row)
    size = result["scale"]["bulk_bytes"] >> 20
    heads = ["", "down, MiB/s", "CPU s/GiB", "up, MiB/s", "CPU s/GiB"]
    return f"One body of {size:,} MiB through curl, HTTP/1.1.\n\n" + _table(heads, rows)


def _stalled(result: dict, titles: dict[str, str]) -> str:
    def show(value: float) -> str:
        return f"{value:.1f}"

    names = {"first": "`/` first", "p50": "`/` p50", "p99": "`/` p99", "mib16": "16 MiB"}
    rows = []
    for key, title in titles.items():
        row = [title]
        for name in names:
            found = _range(figures.figure(result, key, figures.stalled(name)), show)
            never = _never(result, key, name)
            row.append(f"{found}; never in {never} rounds" if never else found)
        rows.append(row)
    return 'In ms; a dash with "never" means that no answer came in 10 s.\n\n' + _table(
        ["", *names.values()], rows
    )


def _never(result: dict, key: str, name: str) -> int:
    """In how many rounds there was a stalled-visitor case without this answer."""
    entries = [filed.get(key, {}).get("stalled") for filed in result["rounds"]]
    return sum(1 for entry in entries if entry and entry[f"{name}_ms"] is None)


def _memory(result: dict, titles: dict[str, str]) -> str:
    def kib(value: float) -> str:
        return f"{value:,.0f}"

    rows = []
    for key, title in titles.items():
        sockets = _range(figures.figure(result, key, figures.websocket_kib), kib)
        at_rest = _range(figures.figure(result, key, figures.at_rest), lambda value: f"{value:.1f}")
        row = [title, at_rest, sockets, "–", "–", "–"]
        if measured := result["tunnels"].get(key):
            clients = measured["clients"]
            client = clients["pss"] * 1024 / clients["processes"]
            row[3:] = [
                kib(figures.tunnel_kib(measured)),
                f"{figures.mib(measured['after'], 'anon', 'edge'):,.0f}",
                kib(client),
            ]
        rows.append(row)
    scale = result["scale"]
    heads = ["", "edge side + client at rest, MiB", "per WebSocket, KiB", "per idle tunnel on the edge, KiB"]
    heads += ["edge side with all tunnels, MiB", "per idle client process, KiB"]
    text = (
        f"{scale['websockets']:,} open, idle WebSockets: edge side and client together, without the origin. "
    )
    if scale["tunnels"]:
        text += (
            f"{scale['tunnels']:,} idle tunnels, each with a client process of its own (rathole: 20 in one). "
        )
    text += "At rest, and for client processes, PSS; growth is memory without programs and libraries. "
    text += "Buffers of the kernel are not in it.\n\n"
    return text + _table(heads, rows)


def _cell(result: dict, key: str, pick: Pick, show: Callable[[float], str]) -> str:
    found = _range(figures.figure(result, key, pick), show)
    compared = figures.ratio(result, key, pick)
    return found if key == BASELINE or compared is None else f"{found} ×{compared.median:.2f}"


def _range(found: Figure | None, show: Callable[[float], str]) -> str:
    if found is None:
        return "–"
    if found.low == found.high:
        return show(found.median)
    return f"{show(found.median)} ({show(found.low)}–{show(found.high)})"


def _table(heads: list[str], rows: list[list[str]], words: int = 1) -> str:
    """A table whose first `words` columns are words, the others figures."""
    rule = ["---"] * words + ["---:"] * (len(heads) - words)
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, rule, *rows])


def _one_line(text: str) -> str:
    return " ".join(text.split())
