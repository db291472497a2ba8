#!/bin/sh
# Written by irp. Prepares this machine at every boot; the log is on the console and in `journalctl -u irp-boot`.
set -u
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
. /etc/irp/boot.env

say() { echo "irp: $*"; }

# later UNIT SECONDS COMMAND…: never waited for, since early in the first boot no timer starts yet.
later() {
    unit=$1
    seconds=$2
    shift 2
    systemd-run --no-block --unit="$unit" --on-active="$seconds" --timer-property=AccuracySec=1 "$@"
}

# A machine that cannot do its work costs money and nothing else; ten minutes are enough to look at it.
give_up() {
    say "$1: this machine ends in 10 minutes"
    later irp-give-up 600 systemctl poweroff
    exit 1
}

# The absolute end counts from the first boot. The file tells others when it is.
limit_life() {
    [ "$MAX_LIFE_S" -gt 0 ] || return 0
    [ -s /var/lib/irp-first-boot ] || date +%s >/var/lib/irp-first-boot
    ends=$(($(cat /var/lib/irp-first-boot) + MAX_LIFE_S))
    echo "$ends" >/run/irp/ends-at
    left=$((ends - $(date +%s)))
    [ $left -gt 0 ] || left=1
    say "ends in $left s whatever happens"
    later irp-max-life $left systemctl poweroff
    early=$((left - 900))
    [ $early -le 0 ] || later irp-max-life-warning $early \
        wall "irp: the maximum life of this machine is over in 15 minutes"
}

is_right() { [ -z "$2" ] || echo "$2  $1" | sha256sum --check --status; }

# download URL SHA256 FILE: the file appears only whole, and only with the right hash.
download() {
    [ -n "$1" ] || give_up "nothing to download for a $(uname -m) processor"
    if [ -n "$2" ] && [ -e "$3" ] && is_right "$3" "$2"; then return; fi
    try=1
    wrong=0
    while :; do
        if curl --fail --silent --show-error --location --proto '=http,https' --connect-timeout 10 \
            --max-time 600 --speed-time 30 --speed-limit 1 --output "$3.part" "$1"; then
            if is_right "$3.part" "$2"; then
                mv "$3.part" "$3"
                return
            fi
            wrong=$((wrong + 1))
            say "what came from ${1%%\?*} does not have the SHA-256 $2 (try $wrong of 3)"
        fi
        rm -f "$3.part"
        [ $wrong -lt 3 ] || give_up "the download is refused: its hash is wrong"
        [ $try -lt 30 ] || give_up "the download failed $try times"
        try=$((try + 1))
        # The network may be a moment away: quick at first, at most 10 s.
        if [ $try -le 5 ]; then sleep 1; else sleep 10; fi
    done
}

settle_zone() {
    [ "$TIMEZONE" != UTC ] || return 0
    if [ -e "/usr/share/zoneinfo/$TIMEZONE" ]; then
        ln -sfn "/usr/share/zoneinfo/$TIMEZONE" /etc/localtime
        [ ! -e /etc/timezone ] || echo "$TIMEZONE" >/etc/timezone
    else
        say "this image has no data for the time zone $TIMEZONE: it stays as it is"
    fi
}

has_locale() {
    wanted=$(echo "$LOCALE" | tr 'A-Z' 'a-z' | sed 's/utf-8/utf8/')
    locale -a 2>/dev/null | tr 'A-Z' 'a-z' | sed 's/utf-8/utf8/' | grep -qxF -e "$wanted"
}

# A language that the image cannot make is no reason to fail.
settle_locale() {
    case $LOCALE in C | POSIX | C.UTF-8) ;; *)
        language=${LOCALE%%.*}
        charset=${LOCALE#*.}
        [ "$charset" != "$LOCALE" ] || charset=UTF-8
        if ! has_locale; then
            nice localedef -i "${language%%@*}" -f "${charset%%@*}" "$LOCALE" >/dev/null 2>&1 || true
        fi
        if ! has_locale; then
            say "this image cannot make the locale $LOCALE: it stays as it is"
            return 0
        fi
        ;;
    esac
    for file in /etc/locale.conf /etc/default/locale; do
        [ ! -d "${file%/*}" ] || echo "LANG=$LOCALE" >"$file"
    done
}

# What nothing waits for: the engine starts as soon as this script ends, and a language may take seconds.
settle_later() { systemd-run --no-block --collect --unit=irp-settle "$0" settle; }

if [ "${1:-}" = settle ]; then
    settle_zone
    settle_locale
    exit
fi
