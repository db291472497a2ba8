"""A stand-in of AWS's session-manager-plugin, as far as a document with a port goes (AWS-StartSSHSession).

It keeps to the real program's contract: seven words on the command line, the answer of StartSession in a variable
of the environment or as an argument, lines for people on stdout before the first byte of the connection, reads of
1024 bytes at most, and a message that is exactly one line feed altered to a carriage return. Where the real one
opens a WebSocket, this one connects to host and port of StreamUrl by TCP.

`settings.json` beside it changes it: `version`; `hang` (never reads, never leaves); `fails` (says so, and ends).
`calls.jsonl` beside it tells how it was called.
"""

import json
import os
import re
import signal
import socket
import sys
import threading
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))
READ = 1024
VARIABLE = "AWS_SSM_START_SESSION_RESPONSE"


def settings():
    try:
        with open(os.path.join(FOLDER, "settings.json"), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def note(call):
    line = json.dumps(call) + "\n"
    # One write in append mode: calls at the same time do not tear each other's lines.
    file = os.open(os.path.join(FOLDER, "calls.jsonl"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line.encode())
    os.close(file)


def write_all(file, data):
    while data:
        data = data[os.write(file, data) :]


def refuse(text):
    write_all(1, text.encode() + b"\n")
    # The real one ends with 0 here, too.
    sys.exit(0)


def main():
    known = settings()
    if sys.argv[1:] == ["--version"]:
        print(known.get("version", "1.2.896.0"))
        return
    if len(sys.argv) != 7:
        refuse(f"Unknown operation {sys.argv[1:]}.")
    response, region, operation, profile, request, endpoint = sys.argv[1:]
    by_variable = response.startswith(VARIABLE)
    if by_variable:
        response = os.environ.pop(response, "")
    note({
        "pid": os.getpid(), "by_variable": by_variable, "region": region, "profile": profile,
        "request": json.loads(request), "endpoint": endpoint, "group": os.getpgid(0) == os.getpid(),
    })
    if operation != "StartSession":
        refuse("Invalid Operation")
    try:
        session = json.loads(response)
        target = re.match(r"wss?://([^:/]+):(\d+)/", session["StreamUrl"])
        if not session["TokenValue"]:
            raise ValueError("no token")
        write_all(1, f"\nStarting session with SessionId: {session['SessionId']}\n".encode())
    except (ValueError, KeyError, TypeError) as error:
        refuse(f"Cannot perform start session: {error}")
    if "fails" in known:
        refuse(known["fails"])
    if known.get("hang"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)
    connection = socket.create_connection((target[1], int(target[2])))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive():
        while data := connection.recv(READ):
            write_all(1, data)
        # The other end has closed: the real one says so among the bytes, and ends.
        write_all(1, f"\n\nExiting session with sessionId: {session['SessionId']}.\n\n".encode())
        os._exit(0)

    threading.Thread(target=receive, daemon=True).start()
    while data := os.read(0, READ):
        connection.sendall(b"\r" if data == b"\n" else data)
    os._exit(0)


main()
