"""Webhooks signed, and verified, by the libraries of their providers.

`signers.py sign URL` prints one JSON line for each signed request. `signers.py serve` prints its port and answers 200 to
what the libraries accept, else 401 with the reason. Each provider's secret is in the variable that irp reads."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import sys
import time
import urllib.parse
from datetime import datetime, timezone

from linebot.v3.webhook import SignatureValidator
from nacl.signing import SigningKey
from slack_sdk.signature import SignatureVerifier
from standardwebhooks.webhooks import Webhook as StandardWebhook
from stripe import Webhook as StripeWebhook
from stripe import WebhookSignature
from svix.webhooks import Webhook as SvixWebhook
from twilio.request_validator import RequestValidator

BODY = '{"type": "sample", "text": "grüße, \\u00e4"}'
FORM = {"From": "+15550100", "Body": "a b&c=d ü", "MessageSid": "SM1"}
# The private half of DISCORD_PUBLIC_KEY: the bytes 0 to 31.
DISCORD = SigningKey(bytes(range(32)))


def secret(variable):
    return os.environ[variable]


def line_signature(body):
    """LINE's library only verifies, so it has to agree with this."""
    digest = hmac.new(secret("LINE_CHANNEL_SECRET").encode(), body.encode(), hashlib.sha256).digest()
    signature = base64.b64encode(digest).decode()
    assert SignatureValidator(secret("LINE_CHANNEL_SECRET")).validate(body, signature)
    return signature


def signed(base):
    now = int(time.time())
    then = datetime.fromtimestamp(now, timezone.utc)
    slack = SignatureVerifier(secret("SLACK_SIGNING_SECRET"))
    yield "slack", "/slack/events", BODY, {
        "x-slack-request-timestamp": str(now),
        "x-slack-signature": slack.generate_signature(timestamp=str(now), body=BODY),
    }
    stripe = WebhookSignature._compute_signature(f"{now}.{BODY}", secret("STRIPE_WEBHOOK_SECRET"))
    yield "stripe", "/stripe", BODY, {"stripe-signature": f"t={now},v1={stripe}"}
    standard = StandardWebhook(secret("WEBHOOK_SECRET")).sign("msg_1", then, BODY)
    yield "standard-webhooks", "/standard", BODY, {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": standard,
    }
    svix = SvixWebhook(secret("SVIX_WEBHOOK_SECRET")).sign("msg_1", then, BODY)
    yield "svix", "/svix", BODY, {"svix-id": "msg_1", "svix-timestamp": str(now), "svix-signature": svix}
    twilio = RequestValidator(secret("TWILIO_AUTH_TOKEN"))
    form = urllib.parse.urlencode(FORM)
    yield "twilio", "/twilio?a=b", form, {
        "content-type": "application/x-www-form-urlencoded",
        "x-twilio-signature": twilio.compute_signature(f"{base}/twilio?a=b", FORM),
    }
    hashed = f"/twilio?bodySHA256={hashlib.sha256(BODY.encode()).hexdigest()}"
    yield "twilio", hashed, BODY, {
        "content-type": "application/json",
        "x-twilio-signature": twilio.compute_signature(base + hashed, {}),
    }
    yield "line", "/line", BODY, {"x-line-signature": line_signature(BODY)}
    yield "discord", "/discord", BODY, {
        "x-signature-timestamp": str(now),
        "x-signature-ed25519": DISCORD.sign(f"{now}{BODY}".encode()).signature.hex(),
    }


def verify(path, url, headers, body):
    """Fails unless the library of the provider accepts the request."""
    if path == "/slack":
        assert SignatureVerifier(secret("SLACK_SIGNING_SECRET")).is_valid_request(body, headers), "slack_sdk"
    elif path == "/stripe":
        StripeWebhook.construct_event(body, headers["stripe-signature"], secret("STRIPE_WEBHOOK_SECRET"))
    elif path == "/standard-webhooks":
        StandardWebhook(secret("WEBHOOK_SECRET")).verify(body, headers)
    elif path == "/svix":
        SvixWebhook(secret("SVIX_WEBHOOK_SECRET")).verify(body, headers)
    elif path == "/twilio":
        form = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        validator = RequestValidator(secret("TWILIO_AUTH_TOKEN"))
        assert validator.validate(url, form, headers["x-twilio-signature"]), "twilio"
    elif path == "/line":
        validator = SignatureValidator(secret("LINE_CHANNEL_SECRET"))
        assert validator.validate(body.decode(), headers["x-line-signature"]), "line-bot-sdk"
    else:
        raise KeyError(path)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            verify(self.path, f"http://{headers['host']}{self.path}", headers, body)
            status, text = 200, b"accepted"
        except Exception as error:  # Each library has its own.
            status, text = 401, repr(error).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


if sys.argv[1] == "sign":
    for provider, path, body, headers in signed(sys.argv[2]):
        print(json.dumps({"provider": provider, "path": path, "body": body, "headers": headers}))
else:
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    print(json.dumps({"event": "ready", "port": server.server_port}), flush=True)
    server.serve_forever()
