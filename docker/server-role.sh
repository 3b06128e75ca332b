#!/bin/sh
# Run once, by the image of PostgreSQL, when the data of a server for instances are made.
set -eu
psql --no-psqlrc --set ON_ERROR_STOP=1 --set password="$BROKER_ROLE_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE broker LOGIN CREATEDB CREATEROLE PASSWORD :'password';
GRANT pg_signal_backend, pg_read_all_stats TO broker;
ALTER ROLE broker SET search_path = pg_catalog;
GRANT SET ON PARAMETER temp_file_limit TO broker;
REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE postgres TO broker;
SQL
