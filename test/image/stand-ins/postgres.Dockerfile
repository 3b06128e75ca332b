# In the place of docker.io/library/postgres: Debian's PostgreSQL, and of that image's ways those that we rely on.
FROM docker.io/library/debian:trixie-slim
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql-17 \
 && rm -rf /var/lib/apt/lists/* && ln -s /usr/lib/postgresql/17/bin/* /usr/local/bin/ 2>/dev/null || true
COPY postgres-entrypoint /usr/local/bin/entrypoint
ENV PGDATA=/var/lib/postgresql/data
RUN install -d -o postgres -g postgres -m 0700 "$PGDATA" && mkdir /docker-entrypoint-initdb.d
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["entrypoint"]
