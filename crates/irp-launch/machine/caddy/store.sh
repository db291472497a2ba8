#!/bin/sh
# Written by irp. `store fetch` brings Caddy's certificates from the bucket, `store keep` takes them there.
set -u
umask 077
folder=/var/lib/irp-caddy
if ! command -v aws >/dev/null; then
    echo "irp: this image has no AWS CLI: certificates are not kept in $STORE"
    exit 0
fi
# The CLI asks for the role's credentials once and for one second; early in a boot that is little.
export AWS_METADATA_SERVICE_NUM_ATTEMPTS=10 AWS_METADATA_SERVICE_TIMEOUT=2
# Older ones do not ask where they are.
metadata=http://169.254.169.254/latest
tell() { curl --silent --fail --max-time 5 --retry 5 --retry-connrefused "$@"; }
token=$(tell --request PUT --header "X-aws-ec2-metadata-token-ttl-seconds: 60" $metadata/api/token)
AWS_DEFAULT_REGION=$(tell --header "X-aws-ec2-metadata-token: $token" $metadata/meta-data/placement/region)
export AWS_DEFAULT_REGION
# Locks are those of a process, and of no use to the next machine.
copy() { aws s3 sync --only-show-errors --exclude "locks/*" "$@"; }
case $1 in
fetch)
    # What this machine has is newer than the bucket, and half of each would not fit together.
    if [ -d $folder/certificates ]; then exit 0; fi
    mkdir -p $folder
    copy "$STORE" $folder || echo "irp: certificates cannot be fetched from $STORE"
    chown -R irp-caddy:irp-caddy $folder
    ;;
keep)
    [ -d $folder/certificates ] || exit 0
    if [ -n "$KMS_KEY" ]; then
        copy --sse aws:kms --sse-kms-key-id "$KMS_KEY" $folder "$STORE"
    else
        copy $folder "$STORE"
    fi || echo "irp: certificates cannot be kept in $STORE"
    ;;
esac
