#!/bin/sh
# A database and a role of its own for retrieval-service; nobody else may connect to it. Run at every start:
# what is there keeps its data, and the role's password becomes the one of .env.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 <<'SQL'
\getenv password RETRIEVAL_PASSWORD
SELECT 'CREATE ROLE retrieval' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'retrieval') \gexec
ALTER ROLE retrieval LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
SELECT 'CREATE DATABASE retrieval OWNER retrieval'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'retrieval') \gexec
REVOKE ALL ON DATABASE retrieval FROM PUBLIC;
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SQL
