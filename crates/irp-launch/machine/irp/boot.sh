
systemd-sysusers /etc/sysusers.d/irp.conf
systemd-tmpfiles --create /etc/tmpfiles.d/irp.conf

# The guards first: a machine whose edge never starts ends as well.
systemctl --quiet enable irp-boot.service irp-edge.service irp-machine-ends.service irp-power.path
systemctl start --no-block irp-power.path
if [ -e /etc/systemd/system/irp-dead-man.timer ]; then
    systemctl --quiet enable irp-dead-man.timer irp-renewal.path
    systemctl start --no-block irp-dead-man.timer irp-renewal.path
fi
limit_life

download "$EDGE_DL_URL" "$EDGE_SHA256" /usr/local/bin/irp
chmod 755 /usr/local/bin/irp
/usr/local/bin/irp edge --config /etc/irp/edge.toml --check || give_up "the edge does not start here"
systemctl start --no-block irp-edge.service irp-machine-ends.service
say "the edge starts"

settle_later
