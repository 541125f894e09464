#!/bin/sh
# Starts one Kafka in KRaft mode. The password reaches a file that only this user can read, in memory,
# and no list of processes shows it.
set -eu
umask 077
here="$(cd "$(dirname "$0")" && pwd)"
config="${TMPDIR:-/tmp}/server.properties"
plain="org.apache.kafka.common.security.plain.PlainLoginModule"
{
    cat "$here/server.properties"
    printf 'listener.name.sasl_plaintext.plain.sasl.jaas.config=%s required username="sixfold" password="%s" user_sixfold="%s";\n' \
        "$plain" "$KAFKA_PASSWORD" "$KAFKA_PASSWORD"
} >"$config"
unset KAFKA_PASSWORD
kafka-storage.sh format --ignore-formatted --cluster-id "$KAFKA_CLUSTER_ID" --config "$config"
exec kafka-server-start.sh "$config"
