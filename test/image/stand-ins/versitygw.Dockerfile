# In the place of docker.io/versity/versitygw, which is Alpine with this one program (and busybox's wget).
FROM docker.io/library/debian:trixie-slim
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends busybox \
 && rm -rf /var/lib/apt/lists/* && ln -s /bin/busybox /usr/local/bin/wget
COPY versitygw /usr/local/bin/versitygw
