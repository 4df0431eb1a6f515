#!/bin/sh
# Makes the files that docker-compose.yml mounts as secrets, in secrets/ or the folder given.
# What is there already is kept. docs/how-to/deploy.md tells how to change a password.
set -eu

folder=${1:-"$(dirname "$0")/../../secrets"}
mkdir -p "$folder"
# The folder keeps others on this machine out. The files are readable to all, for Compose mounts
# them as they are, and the containers' users are not yours.
chmod 700 "$folder"

random() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

keep() { # NAME VALUE
    if [ ! -e "$folder/$1" ]; then
        (umask 077 && printf '%s' "$2" >"$folder/$1")
        echo "made $folder/$1"
    fi
    chmod 444 "$folder/$1"
}

keep postgres_password "$(random)"
keep keeper_password "$(random)"
keep worker_password "$(random)"
keep reader_password "$(random)"
keep grafana_password "$(random)"
for login in keeper worker; do
    keep "${login}_database_url" \
        "postgresql://emotion_$login:$(cat "$folder/${login}_password")@postgres:5432/emotion"
done
