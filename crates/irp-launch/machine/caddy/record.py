#!/usr/bin/python3
"""Written by irp. Keeps the DNS record of this machine.

record upsert   until it points here and all of Route 53's servers know it; then Caddy may start
record follow   once: if this machine's address is another one than at the last time; and if AWS takes the machine away,
                the record goes at once, and stays away
record delete   if it still points here

Only Python's own library, which every image has for cloud-init.
"""
import contextlib, datetime, fcntl, hashlib, hmac, http.client, ipaddress, json, os, random, subprocess, sys, time
import urllib.error, urllib.parse, urllib.request
import xml.etree.ElementTree as ET

NAME, ZONE, TTL = os.environ["NAME"], os.environ["ZONE"], 60
METADATA = os.environ.get("IRP_METADATA", "http://169.254.169.254")
RUN = os.environ.get("IRP_RUN", "/run/irp")
STATE = os.path.join(RUN, "record.json")
TAKEN = os.path.join(RUN, "taken")
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
    except (OSError, http.client.HTTPException) as error:
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


def change(machine, zone, action, sets):
    """One change of record sets: for each its type, the seconds it may be kept, and its values."""
    values = lambda texts: "".join("<ResourceRecord><Value>%s</Value></ResourceRecord>" % text for text in texts)
    changes = "".join(
        "<Change><Action>%s</Action><ResourceRecordSet><Name>%s.</Name><Type>%s</Type><TTL>%s</TTL><ResourceRecords>%s"
        "</ResourceRecords></ResourceRecordSet></Change>" % (action, NAME, kind, ttl, values(texts))
        for kind, ttl, texts in sets)
    body = ('<?xml version="1.0" encoding="UTF-8"?><ChangeResourceRecordSetsRequest '
            'xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ChangeBatch><Changes>%s</Changes></ChangeBatch>'
            "</ChangeResourceRecordSetsRequest>" % changes)
    return call(machine, "POST", API + "hostedzone/%s/rrset" % zone, {}, body)


def delete_set(machine, zone, kind, ttl, texts):
    """Whether there was exactly this; AWS refuses to delete what is another machine's by now."""
    try:
        change(machine, zone, "DELETE", [(kind, ttl, texts)])
    except Failed as error:
        if "InvalidChangeBatch" not in str(error) and "InvalidInput" not in str(error):
            raise
        return False
    return True


def clear(machine, zone, kind):
    """What a machine before this one has left would send half of the visitors to nobody."""
    query = {"name": NAME, "type": kind, "maxitems": "1"}
    for found in call(machine, "GET", API + "hostedzone/%s/rrset" % zone, query).iter("ResourceRecordSet"):
        # The name is where the list begins. One without values of its own is an alias, and somebody's intention.
        texts = [value.text for value in found.iter("Value")]
        if found.findtext("Name") == NAME + "." and found.findtext("Type") == kind and texts:
            if delete_set(machine, zone, kind, found.findtext("TTL"), texts):
                say("an %s record of %s was left behind, and is deleted" % (kind, NAME))


@contextlib.contextmanager
def alone():
    """Whoever takes the record away is not overtaken by who is still writing it."""
    with open(os.path.join(RUN, "record.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def held():
    """The zone, and the addresses that the record holds; more than one pair while it is changed."""
    try:
        with open(STATE) as state:
            return json.load(state)
    except (OSError, ValueError):
        return None


def hold(zone, addresses):
    with open(STATE + ".new", "w") as out:
        json.dump({"zone": zone, "addresses": addresses}, out)
    os.replace(STATE + ".new", STATE)


def upsert():
    machine = Machine()
    now = machine.addresses()
    if not now:
        raise Failed("this machine has no public address yet")
    zone = zone_id(machine)
    with alone():
        if os.path.exists(TAKEN):
            return
        before = [addresses for addresses in (held() or {"addresses": []})["addresses"] if addresses != now]
        hold(zone, before + [now])
        info = change(machine, zone, "UPSERT", [(kind, TTL, [text]) for kind, text in sorted(now.items())])
        info = info.find("ChangeInfo")
        for kind in {"A", "AAAA"} - set(now):
            clear(machine, zone, kind)
        hold(zone, [now])
    say("%s -> %s" % (NAME, ", ".join(sorted(now.values()))))
    until = time.monotonic() + 300
    while info.findtext("Status") != "INSYNC" and time.monotonic() < until:
        time.sleep(2)
        info = call(machine, "GET", API + "change/" + info.findtext("Id").rsplit("/", 1)[-1], {}).find("ChangeInfo")


def follow():
    machine = Machine()
    notice = machine.get("spot/instance-action")
    if notice:
        taken(notice)
        return
    state, now = held(), machine.addresses()
    if state and now and state["addresses"] != [now]:
        upsert()


def taken(notice):
    """Spot leaves two minutes. Until the end whoever comes is served, but nobody is sent here any more."""
    if not os.path.exists(TAKEN):
        text = "AWS takes this spot machine away: " + notice
        say(text)
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(["wall", "irp: " + text], timeout=5)
        open(TAKEN, "w").close()
    delete()


def delete():
    with alone():
        state = held()
        if not state:
            return
        machine = Machine()
        # Each on its own: one that is another machine's by now must not keep the other.
        for kind, text in sorted({pair for addresses in state["addresses"] for pair in addresses.items()}):
            if delete_set(machine, state["zone"], kind, TTL, [text]):
                say("the %s record of %s is deleted" % (kind, NAME))
            else:
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
    step, limit = {"upsert": (upsert, float("inf")), "follow": (follow, 0), "delete": (delete, 30)}[sys.argv[1]]
    persist(step, limit)
