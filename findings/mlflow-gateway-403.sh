#!/usr/bin/env bash
# MLflow's client (mlflow-skinny 3.17.2) loses the HTTP status of an answer whose body is JSON without MLflow's own error_code, as
# gateways and identity proxies give ({"message": "Forbidden"}, status 403): the exception says INTERNAL_ERROR and status 500, what a
# server's own breakdown says. The same 403 with a body of plain text says PERMISSION_DENIED. So whoever tries again what the code calls
# an internal error tries a refusal again for ever; the status has to be asked for.
set -euo pipefail
home=$(mktemp -d); trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet "mlflow-skinny==3.17.2"
cat > "$home/ask.py" <<'PY'
import http.server, importlib.metadata, os, threading

os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_DISABLE_TELEMETRY": "true", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
given = {}


class Gate(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(403)
        self.send_header("Content-Length", str(len(given["body"])))
        self.end_headers()
        self.wfile.write(given["body"])

    do_POST = do_GET

    def log_message(self, *words):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gate)
threading.Thread(target=server.serve_forever, daemon=True).start()
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

print("mlflow-skinny", importlib.metadata.version("mlflow-skinny"))
client, found = MlflowClient(f"http://127.0.0.1:{server.server_port}"), []
for given["body"] in (b"Forbidden", b'{"message": "Forbidden"}'):
    try:
        client.get_experiment("1")
    except MlflowException as error:
        found.append((error.error_code, error.get_http_status_code()))
        print(f"403 with {given['body'].decode()!r:28} -> {type(error).__name__} {error.error_code} {error.get_http_status_code()}: {error}")
assert found == [("PERMISSION_DENIED", 403), ("INTERNAL_ERROR", 500)], found
PY
"$home/venv/bin/python" "$home/ask.py"
