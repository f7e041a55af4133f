# PostgreSQL and Pebble for the compose example, where one image with both is at hand.
ARG BASE=debian:13
FROM ${BASE}
RUN command -v pebble >/dev/null || (apt-get update && apt-get install -y --no-install-recommends ca-certificates curl openssl postgresql pebble)
COPY deploy/docker/run-postgres deploy/docker/run-pebble /usr/local/bin/
