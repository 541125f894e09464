#!/bin/sh
# Makes what docker compose needs to start: .env with random passwords, and three random keys.
# Nothing that exists is touched. Everything is readable by its owner only.
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

if [ -e "$env_file" ]; then
    echo "kept $env_file"
    exit 0
fi
cat >"$env_file.new" <<END
# Made by deploy/init.sh; .env.example says what each line means.
SIXFOLD_UID=$uid
SIXFOLD_SECRETS=$secrets
SIXFOLD_POSTGRES_PASSWORD=$(random_hex 24)
SIXFOLD_POSTGRES_RETRIEVAL_PASSWORD=$(random_hex 24)
SIXFOLD_REDIS_PASSWORD=$(random_hex 24)
SIXFOLD_KAFKA_PASSWORD=$(random_hex 24)
SIXFOLD_MINIO_PASSWORD=$(random_hex 24)
SIXFOLD_GRAFANA_PASSWORD=$(random_hex 24)
END
mv "$env_file.new" "$env_file"
echo "made $env_file"
