"""Keys and certificates of one run, in its temporary folder."""

from __future__ import annotations

import getpass
import os
import pathlib
import subprocess

from .tools import Tools

# The public name of every contestant. curl resolves *.localhost by itself; the others are told the address.
HOST = "bench.localhost"


class Identity:
    """A CA with one P-256 certificate (what Caddy's own CA issues too), and ed25519 keys for sshd and clients."""

    def __init__(self, folder: pathlib.Path, tools: Tools) -> None:
        self.folder = folder
        self.user = getpass.getuser()
        self.client_key = folder / "client_key"
        self.host_key = folder / "host_key"
        for key in (self.client_key, self.host_key):
            _quiet([tools["ssh-keygen"], "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", key])
        self.public_key = self.client_key.with_suffix(".pub").read_text().strip()
        self.ca = folder / "ca.pem"
        self.chain_and_key = folder / "site.pem"
        self._certify(tools["openssl"])

    def _certify(self, openssl: pathlib.Path) -> None:
        folder = self.folder
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        _quiet(
            [openssl, "req", "-x509", *new_key, "-keyout", folder / "ca.key", "-out", self.ca, "-days", "30"]
            + ["-subj", "/CN=bench CA", "-addext", "keyUsage=critical,keyCertSign"]
        )
        _quiet(
            [openssl, "req", "-x509", *new_key, "-CA", self.ca, "-CAkey", folder / "ca.key", "-days", "30"]
            + ["-keyout", folder / "site.key", "-out", folder / "site.crt", "-subj", f"/CN={HOST}"]
            + ["-addext", f"subjectAltName=DNS:{HOST}", "-addext", "basicConstraints=critical,CA:FALSE"]
        )
        self.chain_and_key.write_text((folder / "site.crt").read_text() + (folder / "site.key").read_text())
        os.chmod(self.chain_and_key, 0o600)


def _quiet(command: list) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
