#!/usr/bin/env bash
# httpx 0.28 (and with it Prefect's client) opens no client at all under ALL_PROXY=socks5://… without the package socksio, not even
# for an address that NO_PROXY excepts. requests, which has no SOCKS either without PySocks, reaches that address; so a program that
# talks to its own server on 127.0.0.1 breaks behind a SOCKS proxy although the exception is there. With httpx[socks] it works.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check httpx==0.28.1 requests==2.34.2
cat >ask.py <<'PYTHON'
import http.server, os, sys, threading
import httpx, requests

class Here(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass

served = http.server.HTTPServer(("127.0.0.1", 0), Here)
threading.Thread(target=served.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{served.server_port}"
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]
os.environ |= {"ALL_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
print("requests", requests.__version__, requests.get(address).status_code)
try:
    answer = str(httpx.get(address).status_code)
except ImportError as error:
    answer = f"ImportError: {error}"
print("httpx", httpx.__version__, answer)
sys.exit(not answer.startswith(sys.argv[1]))
PYTHON
echo "without socksio:"; venv/bin/python ask.py "ImportError: Using SOCKS proxy, but the 'socksio' package is not installed"
venv/bin/pip install --quiet --disable-pip-version-check 'httpx[socks]==0.28.1' socksio==1.0.0
echo "with socksio:"; venv/bin/python ask.py 200
