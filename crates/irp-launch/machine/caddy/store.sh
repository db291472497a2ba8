#!/bin/sh
# Written by irp. `store fetch` brings Caddy's certificates from the bucket, `store keep` takes them there.
set -u
umask 077
folder=/var/lib/irp-caddy
if ! command -v aws >/dev/null; then
    echo "irp: this image has no AWS CLI: certificates are not kept in $STORE"
    exit 0
fi
case $1 in
fetch)
    mkdir -p $folder
    aws s3 sync --only-show-errors "$STORE" $folder
    chown -R irp-caddy:irp-caddy $folder
    ;;
keep) aws s3 sync --only-show-errors --sse AES256 --exclude "locks/*" $folder "$STORE" ;;
esac
