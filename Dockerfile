# The broker with PostgreSQL's client programs. It runs as a user without rights and writes below /var/lib/postgresql-broker
# and /tmp only: give it a read-only root file system. docs/containers.md says how, and what of this was run.

FROM docker.io/library/node:24-trixie-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY nest-cli.json tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM docker.io/library/debian:trixie-slim
# Major versions from PostgreSQL's own packages, or "debian": the one that Debian has.
ARG POSTGRESQL_CLIENTS="15 16 17 18"
ARG VERSION=unknown
LABEL org.opencontainers.image.title="PostgreSQL broker" \
      org.opencontainers.image.description="Open Service Broker for PostgreSQL whose backups can be trusted" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get install --yes --no-install-recommends ca-certificates postgresql-client-common tini; \
    clients=postgresql-client; \
    if [ "$POSTGRESQL_CLIENTS" != debian ]; then \
      # Debian vouches for the key.
      key=/usr/share/postgresql-common/pgdg/apt.postgresql.org.asc; \
      echo "deb [signed-by=$key] https://apt.postgresql.org/pub/repos/apt trixie-pgdg main" > /etc/apt/sources.list.d/pgdg.list; \
      apt-get update; \
      clients=''; \
      for major in $POSTGRESQL_CLIENTS; do clients="$clients postgresql-client-$major"; done; \
    fi; \
    apt-get install --yes --no-install-recommends $clients; \
    rm -rf /var/lib/apt/lists/*; \
    groupadd --gid 10001 broker; \
    useradd --uid 10001 --gid broker --no-create-home --home-dir /var/lib/postgresql-broker --shell /usr/sbin/nologin broker; \
    install -d -o broker -g broker -m 0700 /var/lib/postgresql-broker
COPY package.json LICENSE /app/
COPY docker/start docker/health.mjs /app/docker/
COPY --from=build /build/node_modules /app/node_modules
COPY --from=build /build/dist /app/dist
ENV NODE_ENV=production \
    BROKER_HOST=0.0.0.0 \
    BROKER_PORT=8080 \
    BROKER_DATA_DIR=/var/lib/postgresql-broker
WORKDIR /app
USER 10001:10001
VOLUME /var/lib/postgresql-broker
EXPOSE 8080
# Longer than operations.grace: `docker stop --time 45`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["/app/node_modules/.bin/node", "/app/docker/health.mjs", "/healthz"]
# As process 1 node would neither end at a signal before it has a handler, nor reap what killed pg_restores leave behind.
ENTRYPOINT ["/usr/bin/tini", "--", "/app/docker/start"]
