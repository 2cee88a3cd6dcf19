"""A generator's service, asked in this process."""

from starlette.testclient import TestClient

from apps.serving import door, service, worker
from apps.serving.following import Following


def client(folder, token: str | None = None, host: str = "127.0.0.1", max_images: int = 40, waiting: int = 4, timeout_s: float = 20):
    following = Following(str(folder), 10)
    made = service.Service(following, worker.Worker(most_waiting=waiting, timeout_s=timeout_s), max_images)
    guarded = door.Door(service.application(made), host, token, 8192)
    return TestClient(guarded, base_url="http://127.0.0.1:8080", raise_server_exceptions=False)
