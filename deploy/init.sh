#!/bin/sh
# Makes what docker compose needs to start: .env with random passwords, and three random keys.
# What exists is kept; lines that .env lacks are added to it. Everything is readable by its owner only.
set -eu
umask 077
cd "$(dirname "$0")/.."
env_file="${1:-.env}"
secrets="${SIXFOLD_SECRETS:-$PWD/.sixfold/secrets}"

random_hex() { od -An -v -tx1 -N"$1" /dev/urandom | tr -d ' \n'; }

uid="$(id -u)"
[ "$uid" -ne 0 ] || uid=10001 # containers never run as root

mkdir -p "$secrets"
for name in jwt service objects; do
    key="$secrets/$name.key"
    [ -e "$key" ] || { random_hex 32 >"$key.new" && mv "$key.new" "$key" && echo "made $key"; }
    [ "$(id -u)" -ne 0 ] || chown "$uid" "$key"
done

# usage: line NAME VALUE. A value that is there stays as it is.
line() {
    grep -q "^$1=" "$env_file" || { printf '%s=%s\n' "$1" "$2" >>"$env_file" && echo "added $1"; }
}

if [ -e "$env_file" ]; then
    echo "kept $env_file"
else
    echo "# Made by deploy/init.sh; .env.example says what each line means." >"$env_file"
    echo "made $env_file"
fi
line SIXFOLD_UID "$uid"
line SIXFOLD_SECRETS "$secrets"
for name in POSTGRES POSTGRES_RETRIEVAL POSTGRES_TRAINING POSTGRES_EVAL POSTGRES_MLFLOW REDIS KAFKA MINIO GRAFANA; do
    line "SIXFOLD_${name}_PASSWORD" "$(random_hex 24)"
done
