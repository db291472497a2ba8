#!/usr/bin/env python3
"""What `--verify` costs: the same webhooks of 2 KiB through irp with and without it. Needs a quiet machine.

    python3 bench/webhooks.py                 all ways in turn, seven rounds of five seconds each
    python3 bench/webhooks.py --rounds 3 --seconds 2

GitHub's scheme stands for all: it signs no time, so that wrk can send one signed request again and again, which with
Slack's would be a replay. What one verification costs by itself tells `cargo run --profile dist -p bench-verification`.

An edge that verifies also gets ready to keep each event for a program that is away. So there are three: without --verify,
verifying alone (an edge without inbox), and with the inbox, as is the default.

Exit status 0 when the throughput of verifying alone is at least 92 % of that without (median of the ratios of a round), 1 when
it is not, 2 when something could not be measured.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import pathlib
import re
import statistics
import sys
import tempfile

from harness import measures, tools
from harness.contestants import IrpNative
from harness.identity import Identity
from harness.processes import BenchError, Meter

SECRET = "a secret of the benchmark"
BODY = '{"zen":"' + "x" * (2048 - 10) + '"}'
SIGNATURE = "sha256=" + hmac.new(SECRET.encode(), BODY.encode(), hashlib.sha256).hexdigest()
PATH = "upload"
VISITORS = 32
# At most 8 % of the throughput may be lost.
LEAST = 0.92
SCRIPT = pathlib.Path(__file__).with_name("harness") / "wrk-webhook.lua"


class Plain(IrpNative):
    """irp with every default."""

    key = "irp-plain"
    title = "irp"


class Keeping(IrpNative):
    """The same, letting in only what is signed, and ready to keep it."""

    key = "irp-keep"
    title = "irp --verify"
    # The harness asks for / to see whether the tunnel stands.
    lanes = ["--verify", f"github=/{PATH}", "--open", "/"]

    def _open(self):
        self.env["GITHUB_WEBHOOK_SECRET"] = SECRET
        return super()._open()


class Verifying(Keeping):
    """The same at an edge that keeps nothing."""

    key = "irp-verify"
    title = "irp --verify, no inbox"
    edge = "[inbox]\nenabled = false\n"


def measure(running: IrpNative, seconds: float) -> dict:
    """Requests/s, and CPU microseconds per request of edge and client."""
    meter = Meter(running.peers)
    command = [running.tools["wrk"], "-t1", f"-c{VISITORS}", f"-d{seconds:g}s", "--timeout", "10s"]
    environment = {"WEBHOOK_BODY": BODY, "WEBHOOK_SIGNATURE": SIGNATURE}
    report = measures.output([*command, "-s", SCRIPT, running.site.url + PATH], seconds + 60, environment)
    cpu, foreign = meter.stop()
    requests = re.search(r"(\d+) requests in", report)
    if not requests or re.search(r"Non-2xx or 3xx responses|Socket errors", report):
        raise BenchError(f"{running.key}: wrk saw errors:\n{report}")
    count = int(requests[1])
    rps = float(re.search(r"Requests/sec:\s+([\d.]+)", report)[1])
    ours = sum(used for name, used in cpu.items() if name.startswith("irp"))
    return {"rps": rps, "cpu_us": ours / count * 1e6, "foreign": foreign}


def main() -> int:
    """Takes turns, and prints a line for each round and the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S")
    options = parser.parse_args()
    kinds, busy = [Plain, Verifying, Keeping], 0.0
    ratios: dict[type, list[float]] = {Verifying: [], Keeping: []}
    costs: dict[type, list[float]] = {Verifying: [], Keeping: []}
    try:
        found = tools.Tools.find({"bench-origin", "irp", "openssl", "ssh-keygen", "wrk"})
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            identity_folder = pathlib.Path(folder, "identity")
            identity_folder.mkdir()
            identity = Identity(identity_folder, found)
            for number in range(options.rounds):
                seen = {}
                # Who comes first changes, so that nobody always meets the warmer machine.
                for kind in kinds[number % 3 :] + kinds[: number % 3]:
                    with kind(found, identity, pathlib.Path(folder)) as running:
                        measure(running, min(1.0, options.seconds))
                        seen[kind] = measure(running, options.seconds)
                line = f"round {number + 1}: {seen[Plain]['rps']:.0f} requests/s"
                for kind in (Verifying, Keeping):
                    ratios[kind].append(seen[kind]["rps"] / seen[Plain]["rps"])
                    costs[kind].append(seen[kind]["cpu_us"] - seen[Plain]["cpu_us"])
                    line += f"; {kind.title} {seen[kind]['rps']:.0f}, {costs[kind][-1]:+.1f} µs CPU"
                busy = max(busy, *(one["foreign"] for one in seen.values()))
                print(line, flush=True)
    except (BenchError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for kind in (Verifying, Keeping):
        least, most = min(ratios[kind]), max(ratios[kind])
        wanted = f", at least {LEAST} wanted" if kind is Verifying else ""
        print(
            f"{kind.title}: ratio {statistics.median(ratios[kind]):.3f} ({least:.3f}–{most:.3f}){wanted}; "
            f"{statistics.median(costs[kind]):+.1f} µs CPU per request"
        )
    if busy > 0.1:
        print(f"other programs used up to {busy:.0%} of the machine: do not trust these figures")
    return 0 if statistics.median(ratios[Verifying]) >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
