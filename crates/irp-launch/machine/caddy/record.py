#!/usr/bin/python3
"""Written by irp. Keeps the DNS record of this machine.

record upsert   until it points here and all of Route 53's servers know it; then Caddy may start
record follow   once, if this machine's address is another one than at the last time
record delete   if it still points here

Only Python's own library, which every image has for cloud-init.
"""
import datetime, hashlib, hmac, ipaddress, json, os, random, sys, time
import urllib.error, urllib.parse, urllib.request
import xml.etree.ElementTree as ET

NAME, ZONE, TTL = os.environ["NAME"], os.environ["ZONE"], 60
METADATA = os.environ.get("IRP_METADATA", "http://169.254.169.254")
STATE = os.path.join(os.environ.get("IRP_RUN", "/run/irp"), "record.json")
API = "/2013-04-01/"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    pass


def say(text):
    print("irp: " + text, flush=True)


def fetch(opener, request, what):
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        if error.code == 404 and what is None:
            return None
        text = error.read().decode(errors="replace")
        found = [e.text for e in ET.fromstring(text).iter() if e.tag.endswith(("Code", "Message"))] if "<" in text else []
        raise Failed("%s: %s %s" % (what or "metadata", error.code, " ".join(filter(None, found)))) from None
    except OSError as error:
        raise Failed("%s: %s" % (what or "metadata", error)) from None


class Machine:
    """What the metadata service (IMDSv2) tells."""

    def __init__(self):
        put = urllib.request.Request(METADATA + "/latest/api/token", method="PUT",
                                     headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        self.token = fetch(DIRECT, put, "metadata token")

    def get(self, path):
        return fetch(DIRECT, urllib.request.Request(
            METADATA + "/latest/meta-data/" + path, headers={"X-aws-ec2-metadata-token": self.token}), None)

    def addresses(self):
        found = {"A": self.get("public-ipv4"), "AAAA": self.get("ipv6")}
        found = {kind: text.strip() for kind, text in found.items() if text and text.strip()}
        for text in found.values():
            ipaddress.ip_address(text)
        return found

    def credentials(self):
        role = self.get("iam/security-credentials/")
        if not role:
            raise Failed("this machine has no role")
        return json.loads(self.get("iam/security-credentials/" + role.split()[0]))


def call(machine, method, path, query, body=""):
    """One signed call of Route 53 (Signature Version 4)."""
    domain = machine.get("services/domain") or "amazonaws.com"
    region = "cn-northwest-1" if domain.endswith(".cn") else "us-east-1"
    base = os.environ.get("AWS_ENDPOINT_URL_ROUTE_53") or os.environ.get("AWS_ENDPOINT_URL")
    base = (base or "https://route53." + domain).rstrip("/")
    keys = machine.credentials()
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    query = urllib.parse.urlencode(sorted(query.items()), quote_via=urllib.parse.quote)
    host = urllib.parse.urlsplit(base).netloc
    headers = {"host": host, "x-amz-date": now, "x-amz-security-token": keys["Token"]}
    signed = ";".join(sorted(headers))
    digest = hashlib.sha256(body.encode()).hexdigest()
    canonical = "\n".join([method, path, query] + ["%s:%s" % pair for pair in sorted(headers.items())]
                          + ["", signed, digest])
    scope = "%s/%s/route53/aws4_request" % (now[:8], region)
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + keys["SecretAccessKey"]).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        keys["AccessKeyId"], scope, signed, signature)
    request = urllib.request.Request(base + path + ("?" + query if query else ""), method=method,
                                     data=body.encode() if body else None, headers=headers)
    if body:
        request.add_header("Content-Type", "text/xml")
    answer = ET.fromstring(fetch(urllib.request.build_opener(), request, "Route 53"))
    for element in answer.iter():
        element.tag = element.tag.rsplit("}", 1)[-1]
    return answer


def zone_id(machine):
    answer = call(machine, "GET", API + "hostedzonesbyname", {"dnsname": ZONE, "maxitems": "100"})
    # The name is where the list begins: zones that follow are in it too.
    found = [zone.findtext("Id").rsplit("/", 1)[-1] for zone in answer.iter("HostedZone")
             if zone.findtext("Name").lower() == ZONE + "." and zone.findtext("Config/PrivateZone") != "true"]
    if len(found) != 1:
        raise Failed("%s public zones are called %s" % (len(found) or "no", ZONE))
    return found[0]


def change(machine, zone, action, addresses):
    sets = "".join(
        "<Change><Action>%s</Action><ResourceRecordSet><Name>%s.</Name><Type>%s</Type><TTL>%d</TTL><ResourceRecords>"
        "<ResourceRecord><Value>%s</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change>"
        % (action, NAME, kind, TTL, address) for kind, address in sorted(addresses.items()))
    body = ('<?xml version="1.0" encoding="UTF-8"?><ChangeResourceRecordSetsRequest '
            'xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ChangeBatch><Changes>%s</Changes></ChangeBatch>'
            "</ChangeResourceRecordSetsRequest>" % sets)
    return call(machine, "POST", API + "hostedzone/%s/rrset" % zone, {}, body)


def upsert():
    machine = Machine()
    addresses = machine.addresses()
    if not addresses:
        raise Failed("this machine has no public address yet")
    zone = zone_id(machine)
    info = change(machine, zone, "UPSERT", addresses).find("ChangeInfo")
    with open(STATE, "w") as out:
        json.dump({"zone": zone, "addresses": addresses}, out)
    say("%s -> %s" % (NAME, ", ".join(sorted(addresses.values()))))
    until = time.monotonic() + 300
    while info.findtext("Status") != "INSYNC" and time.monotonic() < until:
        time.sleep(2)
        info = call(machine, "GET", API + "change/" + info.findtext("Id").rsplit("/", 1)[-1], {}).find("ChangeInfo")


def last():
    try:
        with open(STATE) as state:
            return json.load(state)
    except (OSError, ValueError):
        return None


def follow():
    state = last()
    if state and Machine().addresses() not in ({}, state["addresses"]):
        upsert()


def delete():
    state = last()
    if not state:
        return
    machine = Machine()
    # Each on its own: one that is another machine's by now is refused, and must not keep the other.
    for kind, address in sorted(state["addresses"].items()):
        try:
            change(machine, state["zone"], "DELETE", {kind: address})
            say("the %s record of %s is deleted" % (kind, NAME))
        except Failed as error:
            if "InvalidChangeBatch" not in str(error) and "InvalidInput" not in str(error):
                raise
            say("the %s record of %s is not ours any more, and stays" % (kind, NAME))
    os.remove(STATE)


def persist(step, limit):
    """Calls step until it succeeds or the limit in seconds has passed, and tells each new reason once."""
    start, pause, told = time.monotonic(), 1.0, None
    while True:
        try:
            return step()
        except (Failed, ValueError, KeyError, ET.ParseError) as error:
            if str(error) != told:
                told = str(error)
                say("%s: trying again" % told)
            if time.monotonic() - start > limit:
                sys.exit("irp: gave up: %s" % told)
            time.sleep(pause * random.uniform(0.5, 1))
            pause = min(pause * 2, 30)


if __name__ == "__main__":
    {"upsert": lambda: persist(upsert, float("inf")), "follow": follow, "delete": lambda: persist(delete, 30)}[sys.argv[1]]()
