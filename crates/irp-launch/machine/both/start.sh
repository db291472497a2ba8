# cloud-init runs this at every boot in its network stage, before it has written any file the first time. So on the
# first boot the units are started from the background, as soon as the last file is there; nothing here waits, and
# later boots need nothing, since then systemd knows the units.
[ -e /etc/irp/written ] || systemd-run --no-block --collect --unit=irp-first-boot --description="irp: start early" \
    --property=DefaultDependencies=no sh -c 'n=0; until [ -e /etc/irp/written ] || [ $n -ge 1200 ]; do n=$((n + 1)); sleep 0.1; done
        systemctl daemon-reload && systemctl start --no-block irp-boot.service'
