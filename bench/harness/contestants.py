"""The contestants: each knows how to put a public HTTPS name in front of the origin.

A contestant is made for one run, started, measured and stopped; nothing of it outlives `stop()`. To add one,
write a subclass of `Contestant` and name it in `ALL`.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import tempfile

from . import processes, sshd, visitor
from .identity import HOST, Identity
from .processes import BenchError, Peer, free_port, listening_ports
from .tools import Tools


class Contestant:
    """One way from a visitor to the origin. Subclasses set the class fields and write `_open`."""

    key = ""
    title = ""
    needs: set[str] = set()
    # What irp's edge is configured with beside address, certificate and key.
    edge = ""
    # Without a tunnel there are no idle ones to measure.
    has_tunnel = True
    # How many idle tunnels one client process holds.
    tunnels_per_client = 1

    def __init__(self, tools: Tools, identity: Identity, folder: pathlib.Path, spares: int = 0) -> None:
        """`spares` idle tunnels beside the one that is measured can be dialled later."""
        self.tools = tools
        self.identity = identity
        self.spares = spares
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.key}-", dir=folder))
        # Nothing may be read from, or written to, the home of whoever runs this.
        self.env = {"HOME": str(self.folder), "TMPDIR": str(self.folder)}
        self.env |= {
            f"XDG_{kind}_HOME": str(self.folder / kind.lower())
            for kind in ("CONFIG", "DATA", "STATE", "CACHE")
        }
        self.peers: list[Peer] = []
        self.spare_peers: list[Peer] = []
        self.site: visitor.Site | None = None
        self.origin = 0

    def __enter__(self) -> Contestant:
        try:
            origin = self.run("origin", "origin", [self.tools["bench-origin"]])
            origin.wait_until(lambda: origin.log.read_text().endswith("\n"), "naming its port")
            self.origin = int(origin.log.read_text())
            self.site = self._open()
            self.peers[-1].wait_until(self.site.answers, "answering a visitor")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        processes.stop_all(self.peers + self.spare_peers)

    def run(self, name: str, side: str, command: list) -> Peer:
        """Starts one more process of this contestant."""
        peer = Peer.start(name, side, command, self.folder, self.env)
        self.peers.append(peer)
        return peer

    def write(self, name: str, text: str) -> pathlib.Path:
        """Writes a configuration file."""
        path = self.folder / name
        path.write_text(text)
        return path

    def dial_spares(self, numbers: range) -> None:
        """Starts the clients of some idle tunnels; `spare_ready` tells when each stands."""
        for first in range(numbers.start, numbers.stop, self.tunnels_per_client):
            held = range(first, min(first + self.tunnels_per_client, numbers.stop))
            self.spare_peers.append(
                Peer.start("spare", "client", self._spare_command(held), self.folder, self.env)
            )

    def spare_ready(self, number: int) -> bool:
        """Whether the idle tunnel stands."""
        raise NotImplementedError

    def _open(self) -> visitor.Site:
        raise NotImplementedError

    def _spare_command(self, numbers: range) -> list:
        raise NotImplementedError


class Ssh(Contestant):
    """What has a stock sshd and `ssh -N -R` behind its public side, whatever that is."""

    def _open(self) -> visitor.Site:
        self.server = sshd.start(self)
        forward = free_port()
        client = self.run("ssh", "client", sshd.client(self, self.server, forward, self.origin))
        client.wait_until(lambda: forward in listening_ports(), "forwarding its port")
        self._spare_ports = [free_port() for _ in range(self.spares)]
        return self._front(forward)

    def _front(self, forward: int) -> visitor.Site:
        raise NotImplementedError

    def _spare_command(self, numbers: range) -> list:
        return sshd.client(self, self.server, self._spare_ports[numbers.start], self.origin)

    def spare_ready(self, number: int) -> bool:
        return self._spare_ports[number] in listening_ports()


class CaddySsh(Ssh):
    """The recipe that irp replaces: Caddy, and a port forwarded by stock OpenSSH."""

    key = "caddy-ssh"
    title = "Caddy + ssh -R"
    needs = {"caddy", "sshd", "ssh"}

    def _front(self, forward: int) -> visitor.Site:
        port, storage = free_port(), self.folder / "caddy"
        config = self.write(
            "Caddyfile",
            f"{{\n  admin off\n  skip_install_trust\n  auto_https disable_redirects\n  storage file_system {storage}\n}}\n"
            f"https://{HOST}:{port} {{\n  tls internal\n  reverse_proxy localhost:{forward}\n}}\n",
        )
        caddy = self.run(
            "caddy", "edge", [self.tools["caddy"], "run", "--adapter", "caddyfile", "--config", config]
        )
        authority = storage / "pki/authorities/local/root.crt"
        caddy.wait_until(authority.exists, "making its CA")
        return visitor.Site(port, authority)


class HaproxyRathole(Contestant):
    """The fastest usual pair, its tunnel unencrypted: the peer to beat in frugality."""

    key = "haproxy-rathole"
    title = "HAProxy + rathole (plain)"
    needs = {"haproxy", "rathole"}
    # Each client watches its file, and Linux allows a user 128 such watches. Each service is a connection of
    # its own all the same.
    tunnels_per_client = 20

    def _open(self) -> visitor.Site:
        control, forward, port = free_port(), free_port(), free_port()
        self._spare_ports = [free_port() for _ in range(self.spares)]
        services = {"web": forward} | {
            f"spare{number}": port for number, port in enumerate(self._spare_ports)
        }
        server = [f'[server]\nbind_addr = "127.0.0.1:{control}"\ndefault_token = "bench"\n']
        server += [
            f'[server.services.{name}]\nbind_addr = "127.0.0.1:{bind}"\n' for name, bind in services.items()
        ]
        self._control = control
        rathole = self.tools["rathole"]
        self.run("rathole server", "edge", [rathole, "--server", self.write("server.toml", "".join(server))])
        client = self.run("rathole client", "client", [rathole, "--client", self._client("web")])
        client.wait_until(lambda: forward in listening_ports(), "opening its service")
        config = self.write(
            "haproxy.cfg",
            "global\n  maxconn 8000\n"
            "defaults\n  mode http\n  option forwardfor\n  timeout connect 5s\n  timeout client 1h\n"
            "  timeout server 1h\n  timeout tunnel 1h\n"
            f"frontend public\n  bind 127.0.0.1:{port} ssl crt {self.identity.chain_and_key} alpn h2,http/1.1\n"
            f"  default_backend tunnel\nbackend tunnel\n  server rathole 127.0.0.1:{forward}\n",
        )
        self.run("haproxy", "edge", [self.tools["haproxy"], "-db", "-f", config])
        return visitor.Site(port, self.identity.ca)

    def _client(self, *services: str) -> pathlib.Path:
        text = f'[client]\nremote_addr = "127.0.0.1:{self._control}"\ndefault_token = "bench"\n'
        for service in services:
            text += f'[client.services.{service}]\nlocal_addr = "127.0.0.1:{self.origin}"\n'
        return self.write(f"{services[0]}.toml", text)

    def _spare_command(self, numbers: range) -> list:
        return [self.tools["rathole"], "--client", self._client(*(f"spare{number}" for number in numbers))]

    def spare_ready(self, number: int) -> bool:
        # The server opens the port of a service when its client has come.
        return self._spare_ports[number] in listening_ports()


def irp_edge(contestant: Contestant, upstream_port: int | None) -> visitor.Site:
    """Starts `irp edge` for a contestant; with `upstream_port` it treats what listens there as the tunnel."""
    irp, port = contestant.tools["irp"], free_port()
    # One pattern for the idle tunnels: a thousand names would not fit into a certificate.
    names = [HOST, "*.localhost"] if contestant.spares else [HOST]
    text = f'listen = ["127.0.0.1:{port}"]\nstate_dir = {json.dumps(str(contestant.folder / "edge"))}\n'
    text += f'[certificate]\nmode = "local"\n[[key]]\npublic = {json.dumps(contestant.identity.public_key)}\n'
    text += f"names = {json.dumps(names)}\n{contestant.edge}"
    if upstream_port:
        text += f'[sshd]\nupstream_port = {upstream_port}\nnames = ["{HOST}"]\n'
    config = contestant.write("edge.toml", text)
    edge = contestant.run("irp edge", "edge", [irp, "edge", "--config", config, "--json"])
    edge.wait_until(lambda: port in listening_ports(), "listening")
    authority = subprocess.run(
        [irp, "ca", "path"], env={**os.environ, **contestant.env}, capture_output=True, text=True, timeout=10
    )
    if authority.returncode:
        raise BenchError(f"`irp ca path` failed: {authority.stderr.strip()}")
    return visitor.Site(port, pathlib.Path(authority.stdout.strip()))


class IrpNative(Contestant):
    """irp with its own tunnel and every default."""

    key = "irp-native"
    title = "irp"
    needs = {"irp"}
    lanes: list[str] = []

    def _open(self) -> visitor.Site:
        self._site = irp_edge(self, None)
        self.run("irp connect", "client", self._connect(HOST))
        return self._site

    def _connect(self, name: str) -> list:
        port = self._site.port
        command = [
            self.tools["irp"],
            "connect",
            f"{HOST}:{port}",
            self.origin,
            "--connect-to",
            f"127.0.0.1:{port}",
        ]
        command += ["--name", name, "--key", self.identity.client_key, "--no-agent"]
        return [*command, "--cacert", self._site.authority, *self.lanes]

    def _spare_command(self, numbers: range) -> list:
        return self._connect(spare_name(numbers.start))

    def spare_ready(self, number: int) -> bool:
        return visitor.Site(self._site.port, None, spare_name(number)).answers()


class IrpHttp2(IrpNative):
    """irp with its own tunnel, without lanes: one HTTP/2 connection carries everything."""

    key = "irp-http2"
    title = "irp, HTTP/2 alone"
    lanes = ["--lanes", "0"]


class IrpSshd(Ssh):
    """irp's edge in front of a port that stock OpenSSH forwards."""

    key = "irp-sshd"
    title = "irp through sshd"
    needs = {"irp", "sshd", "ssh"}

    def _front(self, forward: int) -> visitor.Site:
        return irp_edge(self, forward)


class IrpDirect(Contestant):
    """No tunnel at all: irp's edge beside the origin, which bounds what any tunnel can reach."""

    key = "irp-direct"
    title = "irp's edge, no tunnel"
    needs = {"irp"}
    has_tunnel = False

    def _open(self) -> visitor.Site:
        return irp_edge(self, self.origin)


def spare_name(number: int) -> str:
    """The public name of an idle tunnel of irp."""
    return f"spare{number}.localhost"


# The order within a round. The first is what the others are compared with.
ALL: list[type[Contestant]] = [CaddySsh, HaproxyRathole, IrpDirect, IrpSshd, IrpHttp2, IrpNative]
BASELINE = CaddySsh.key


def choose(keys: str) -> list[type[Contestant]]:
    """The contestants named in a comma-separated list."""
    known = {contestant.key: contestant for contestant in ALL}
    wanted = [key.strip() for key in keys.split(",") if key.strip()]
    if unknown := [key for key in wanted if key not in known]:
        raise BenchError(f"no contestant is called {', '.join(unknown)}; there are: {', '.join(known)}")
    return [contestant for contestant in ALL if contestant.key in wanted]
