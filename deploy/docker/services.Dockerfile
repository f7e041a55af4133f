# PostgreSQL and Pebble for the compose example, each as a user of its own.
ARG BASE=debian:13
FROM ${BASE}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql-common \
 && printf 'create_main_cluster = false\n' >>/etc/postgresql-common/createcluster.conf \
 && apt-get install -y -qq --no-install-recommends ca-certificates curl openssl postgresql pebble \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb \
 && useradd --system --user-group pebble \
 && install -d -o postgres -g postgres -m 700 /data \
 && install -d -o pebble -g pebble /authority
COPY deploy/docker/run-postgres deploy/docker/run-pebble /usr/local/bin/
USER postgres
