#!/bin/sh
# A database and a role of its own for each service with records; nobody else may connect to it. Run at every
# start: what is there keeps its data, and each role's password becomes the one of .env.
set -eu

# usage: own ROLE PASSWORD
own() {
    ROLE="$1" PASSWORD="$2" psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 <<'SQL'
\getenv role ROLE
\getenv password PASSWORD
SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'role', :'role')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'role') \gexec
REVOKE ALL ON DATABASE :"role" FROM PUBLIC;
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SQL
}

own retrieval "$RETRIEVAL_PASSWORD"
own training "$TRAINING_PASSWORD"
own eval "$EVAL_PASSWORD"
own mlflow "$MLFLOW_PASSWORD"
