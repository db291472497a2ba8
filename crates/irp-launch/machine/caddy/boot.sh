
systemd-sysusers /etc/sysusers.d/irp.conf
mkdir -p /run/irp

# The guard first: a machine whose Caddy never starts ends as well.
systemctl --quiet enable irp-boot.service irp-watch.timer irp-record.service irp-caddy.service
systemctl start --no-block irp-watch.timer
limit_life

archive=/usr/local/lib/irp/caddy.archive
download "$CADDY_DL_URL" "$CADDY_SHA256" $archive
# An archive with Caddy in it, or the program itself. Python is there, since cloud-init is written in it; tar may not be.
if ! python3 - $archive /usr/local/bin/irp-caddy <<'END'; then
import shutil, sys, tarfile
archive, target = sys.argv[1:]
if tarfile.is_tarfile(archive):
    with tarfile.open(archive) as tar:
        member = next(m for m in tar if m.isfile() and m.name.rsplit("/", 1)[-1] == "caddy")
        with open(target + ".part", "wb") as out:
            shutil.copyfileobj(tar.extractfile(member), out)
else:
    shutil.copyfile(archive, target + ".part")
END
    give_up "there is no caddy in what was downloaded"
fi
chmod 755 /usr/local/bin/irp-caddy.part
mv /usr/local/bin/irp-caddy.part /usr/local/bin/irp-caddy

HOME=/var/lib/irp-caddy /usr/local/bin/irp-caddy validate --adapter caddyfile --config /etc/irp/Caddyfile >/dev/null || give_up "Caddy does not start here"
if [ -n "$STORE" ]; then
    systemctl --quiet enable irp-store.service irp-store.timer
    systemctl start --no-block irp-store.service irp-store.timer
fi
# Caddy waits for the record, and the record for the network.
systemctl start --no-block irp-record.service irp-caddy.service
say "Caddy starts as soon as the record is in place"

settle_later
