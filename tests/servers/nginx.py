"""nginx with TLS, as a process in a folder of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

from tests.ports import free_port
from tests.servers import program
from tests.servers.web import listening

__all__ = ["nginx_server"]

SETTINGS = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem;
    location / {{ default_type text/plain; return 200 "nginx\\n"; }}
    location /big {{ alias {folder}/big; }}
  }}
}}
"""


@contextmanager
def nginx_server(folder: Path, certificate: trustme.LeafCert | None = None) -> Iterator[int]:
    """Run nginx with this certificate, or with the `chain.pem` and `key.pem` that are in its folder; its port."""
    binary = program("nginx", "nginx-light", "/usr/sbin/nginx")
    folder.mkdir(exist_ok=True)
    port = free_port()
    if certificate is not None:
        (folder / "chain.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        (folder / "key.pem").write_bytes(certificate.private_key_pem.bytes())
    (folder / "big").write_bytes(b"0123456789" * 100_000)
    (folder / "nginx.conf").write_text(SETTINGS.format(folder=folder, port=port))
    with subprocess.Popen([binary, "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL) as process:
        try:
            listening(port, process)
            yield port
        finally:
            process.terminate()
