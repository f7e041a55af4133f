"""What is measured runs here: a private PostgreSQL, clusters, certificates for many hostnames."""

import os
import shutil
import subprocess
import time

from harness import BUILD, Cluster, Postgres, free_port, make_folder, wait_until


class Bench:
    def __init__(self):
        self.folder = make_folder()
        self.postgres = Postgres(self.folder).start()
        self.http_port = free_port()
        self.databases = 0
        self.certs = None

    def close(self):
        self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cluster(self, data_planes, cp_settings=None, dp_settings=None, http_port=None):
        self.databases += 1
        name = f"bench{self.databases}"
        subprocess.run(["psql", self.postgres.dsn, "-qc", f"CREATE DATABASE {name}"], check=True)
        folder = self.folder / name
        folder.mkdir()
        c = Cluster(folder, dsn=f"{self.postgres.dsn} dbname={name}", http_port=http_port or self.http_port)
        if self.certs:
            shutil.copy(self.certs / "keyring", folder / "keyring")
        c.add_control_plane(log_level="warn", **(cp_settings or {})).start()
        for _ in range(data_planes):
            c.add_data_plane(log_level="warn", **(dp_settings or {})).start()
        return c

    def make_hosts(self, n):
        """Certificates for n names, sealed with the keyring that clusters get from then on."""
        self.certs = self.folder / "certs"
        self.certs.mkdir()
        subprocess.run([BUILD / "cardea", "keyring", self.certs / "keyring"], check=True, capture_output=True)
        subprocess.run([BUILD / "bench/certs", str(n), self.certs / "keyring", self.certs], check=True)
        os.chmod(self.certs, 0o755)

    def load_hosts(self, c, n):
        """n certificates straight into the database, in one revision."""
        folder = self.certs
        sql = (
            "BEGIN;\n"
            f"\\copy certificates (id, cert, key) from '{folder}/certificates.copy'\n"
            f"\\copy snis (id, name, certificate) from '{folder}/snis.copy'\n"
            "COMMIT;\n"
        )
        start = time.monotonic()
        subprocess.run(["psql", c.dsn, "-qv", "ON_ERROR_STOP=1"], input=sql, text=True, check=True)
        stored = time.monotonic()
        wait_until(lambda: all(d.metric("cardea_dp_names") >= n for d in c.data_planes), 300, f"{n} hostnames on every data plane")
        return stored - start, time.monotonic() - stored
