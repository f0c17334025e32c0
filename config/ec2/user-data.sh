#!/bin/bash
# User data of an EC2 instance (Amazon Linux 2023, Debian or Ubuntu) that runs the bot in a container, set up by a secret alone.
#
# The instance gets the names below and nothing else: password, bucket and key are in the secret (docs/settings.md, "The
# secret"). Its role needs config/iam/retaind.json. Its metadata service must be IMDSv2 with a hop limit of 2: a container is one
# hop further away than its host, and with the default of 1 the bot finds no role.
set -euo pipefail

readonly BOT_NAME=compliance_1234567890_bot
readonly SECRET_NAME=wickr/data/retention/bot
readonly REGION=us-east-1
# with a version as its tag, so that the bot can say when there is a newer one
readonly IMAGE=registry.example.org/retaind:0.1.0
# where messages and keys are kept: a volume, which is formatted if it is blank; empty for the instance's own disk
readonly VOLUME=

# --- nothing below depends on whose bot it is ---

# the user of the image, and its only writable place
readonly OWNER=10001:10001
readonly HOME_ON_HOST=/var/lib/retaind
readonly HOME_IN_CONTAINER=/tmp/$BOT_NAME

if ! command -v docker >/dev/null; then
    if command -v dnf >/dev/null; then
        dnf install -y docker
    else
        apt-get update
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker.io
    fi
fi
systemctl enable --now docker

install -d -m 0700 "$HOME_ON_HOST"
if [[ -n $VOLUME ]]; then
    # it is attached after the instance has started; until then nothing may be written, or it would end up on the wrong disk
    for _ in {1..120}; do
        [[ -b $VOLUME ]] && break
        sleep 5
    done
    [[ -b $VOLUME ]] || { echo "volume $VOLUME was not attached within ten minutes" >&2; exit 1; }
    # blkid: 2 = the volume is blank; in every other case it is left as it is
    found=0
    blkid -p "$VOLUME" >/dev/null || found=$?
    [[ $found != 2 ]] || mkfs.ext4 "$VOLUME"
    uuid=$(blkid -s UUID -o value "$VOLUME")
    grep -q "^UUID=$uuid " /etc/fstab || echo "UUID=$uuid $HOME_ON_HOST ext4 nodev,nosuid,noexec 0 2" >>/etc/fstab
    mountpoint -q "$HOME_ON_HOST" || mount "$HOME_ON_HOST"
fi
chown "$OWNER" "$HOME_ON_HOST"
chmod 0700 "$HOME_ON_HOST"

# a pull may fail while the network comes up
for try in 1 2 3 4 5; do
    docker pull "$IMAGE" && break
    [[ $try != 5 ]] || exit 1
    sleep 10
done

# replaces a container with another image or other names
docker rm --force retaind 2>/dev/null || true
docker create \
    --name retaind \
    --user "$OWNER" \
    --read-only \
    --cap-drop ALL \
    --security-opt no-new-privileges \
    --pids-limit 1024 \
    --ulimit core=0 \
    --mount "type=bind,source=$HOME_ON_HOST,target=$HOME_IN_CONTAINER" \
    --publish 7443:7443 \
    --restart on-failure:5 \
    --stop-timeout 30 \
    --log-opt max-size=10m \
    --log-opt max-file=5 \
    --env WICKRIO_BOT_NAME="$BOT_NAME" \
    --env AWS_SECRET_NAME="$SECRET_NAME" \
    --env AWS_SECRET_REGION="$REGION" \
    --env AWS_DEFAULT_REGION="$REGION" \
    --env RETAIND_IMAGE="$IMAGE" \
    "$IMAGE"

# `on-failure` does not start a container after a boot, and user data runs only at the first boot
mount_needed=
[[ -z $VOLUME ]] || mount_needed="RequiresMountsFor=$HOME_ON_HOST"
cat >/etc/systemd/system/retaind-container.service <<UNIT
[Unit]
Description=Container of retaind, the data-retention bot
Requires=docker.service
PartOf=docker.service
After=docker.service network-online.target
Wants=network-online.target
$mount_needed

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/docker start retaind
ExecStop=/usr/bin/docker stop retaind
TimeoutStopSec=60

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable retaind-container.service
systemctl restart retaind-container.service
