"""Slack, as its documentation says that it behaves: slack.py ADDRESS:PORT CA URL WHAT [FIRST COUNT]

`register` checks a Request URL as the page of an app does when it is saved. `events` sends messages of a channel, each
up to four times until it is acknowledged. `command` and `button` are what a person does. Prints what
the caller has to know, and exits with 1 when Slack would not be content."""

import http.client
import json
import os
import secrets
import socket
import ssl
import sys
import time
import urllib.parse

from slack_sdk.signature import SignatureVerifier

# Slack waits for three seconds; the machines of CI are shared.
PATIENCE = 30.0
FORM = "application/x-www-form-urlencoded"


class Slack:
    def __init__(self, address, authority, url):
        self.address = address.rsplit(":", 1)
        self.tls = ssl.create_default_context(cafile=authority)
        self.url = urllib.parse.urlsplit(url)
        self.signature = SignatureVerifier(os.environ["SLACK_SIGNING_SECRET"])

    def ask(self, method, target, body="", kind=None, more=None):
        """Status, media type and body of the answer."""
        host, port = self.address
        plain = socket.create_connection((host, int(port)), PATIENCE)
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=PATIENCE)
        connection.sock = self.tls.wrap_socket(plain, server_hostname=self.url.hostname)
        headers = {"User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)", **(more or {})}
        if kind:
            now = str(int(time.time()))
            headers |= {
                "Content-Type": kind,
                "X-Slack-Request-Timestamp": now,
                "X-Slack-Signature": self.signature.generate_signature(timestamp=now, body=body),
            }
        connection.request(method, target, body.encode() or None, headers)
        response = connection.getresponse()
        answer = response.status, response.headers.get_content_type(), response.read().decode()
        connection.close()
        return answer

    def post(self, body, kind=FORM, more=None):
        return self.ask("POST", self.url.path, body, kind, more)

    def register(self):
        """The challenge has to come back in one of three forms."""
        challenge = secrets.token_urlsafe(36)
        body = json.dumps({"token": "old", "challenge": challenge, "type": "url_verification"})
        status, kind, text = self.post(body, "application/json")
        found = {
            "text/plain": lambda: text,
            FORM: lambda: urllib.parse.parse_qs(text)["challenge"][0],
            "application/json": lambda: json.loads(text)["challenge"],
        }
        if status != 200 or kind not in found or found[kind]() != challenge:
            sys.exit(f"Your URL didn't respond with the value of the challenge parameter: {status} {text}")
        status, _, _ = self.ask("GET", f"{self.url.path}?ssl_check=1&token=old")
        if status != 200:
            sys.exit(f"the certificate cannot be checked: {status}")
        print("Verified")

    def events(self, first, count):
        for number in range(first, first + count):
            event = {"type": "app_mention", "user": "U1", "channel": "C1", "text": f"message {number}"}
            body = json.dumps({
                "type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event_id": f"Ev{number}",
                "event_time": int(time.time()), "event": event,
                "authorizations": [{"team_id": "T1", "user_id": "U0000000001", "is_bot": True}],
            })
            for attempt in range(4):
                again = {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": "http_timeout"}
                try:
                    status, _, _ = self.post(body, "application/json", again if attempt else None)
                except TimeoutError:
                    continue
                if 200 <= status < 300:
                    break
            else:
                sys.exit(f"event {number} was not acknowledged")
        print("sent")

    def command(self):
        form = {"command": "/deploy", "text": "now", "team_id": "T1", "channel_id": "C1", "user_id": "U1"}
        print(self.post(urllib.parse.urlencode(form))[2])

    def button(self):
        action = {"type": "button", "action_id": "irp", "block_id": "irp", "value": "sample"}
        payload = {"type": "block_actions", "team": {"id": "T1"}, "user": {"id": "U1"}, "actions": [action]}
        status, _, text = self.post(urllib.parse.urlencode({"payload": json.dumps(payload)}))
        print(status, text)


address, authority, url, what, *numbers = sys.argv[1:]
getattr(Slack(address, authority, url), what)(*map(int, numbers))
