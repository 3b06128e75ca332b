#!/bin/sh
# Run once, by the image of PostgreSQL, when the state database's data are made.
set -eu
psql --no-psqlrc --set ON_ERROR_STOP=1 --set password="$BROKER_ROLE_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE broker_state LOGIN PASSWORD :'password';
CREATE DATABASE broker_state OWNER broker_state TEMPLATE template0;
REVOKE CONNECT ON DATABASE broker_state FROM PUBLIC;
SQL
