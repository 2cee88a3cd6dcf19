"""`gan serve` without a server: what is asked for, who is let in, how much at a time, and what is answered."""

import asyncio
import base64
import io
import socket
import threading
import time

import numpy as np
import pytest
import small_training
from exported import write
from patience import patient
from PIL import Image
from served_generator import client

from apps import answer, sample, serve
from apps.serving import asked, service, worker
from gan import choices, generator
from gan.card import Card


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("served") / "model", "dcgan")


def sampled(folder, out, *arguments: str) -> None:
    assert answer.with_sentences("gan sample", sample.main, [str(folder), "-o", str(out), *arguments]) == 0


# What is answered


def test_a_grid_is_the_file_that_gan_sample_writes(folder, tmp_path):
    sampled(folder, tmp_path / "grid.png", "-n", "11", "--seed", "5", "--label", "2", "--columns", "4")
    response = client(folder).post("/v1/images", json={"seed": 5, "n": 11, "label": "class 2", "columns": 4})
    assert response.headers["content-type"] == "image/png"
    assert response.content == (tmp_path / "grid.png").read_bytes() and response.headers["x-content-type-options"] == "nosniff"


def test_an_image_is_the_file_that_gan_sample_writes(folder, tmp_path):
    sampled(folder, f"{tmp_path}/out/", "-n", "3", "--seed", "7")
    for seed in (7, 8, 9):
        assert client(folder).get(f"/v1/image/{seed}.png").content == (tmp_path / "out" / f"{seed:09d}.png").read_bytes()


def test_json_names_each_image_and_base64_holds_the_grid(folder):
    opened = client(folder)
    body = {"seeds": [9, 2], "labels": [1, "class 0"]}
    found = opened.post("/v1/images", json=body | {"format": "json"}).json()
    assert [(one["seed"], one["label"], one["class"]) for one in found["images"]] == [(9, 1, "class 1"), (2, 0, "class 0")]
    pixels = [np.asarray(Image.open(io.BytesIO(base64.b64decode(one["png"])))) for one in found["images"]]
    expected = generator.load(folder).sample([9, 2], [1, 0]).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(np.stack(pixels), expected)
    grid = opened.post("/v1/images", json=body | {"format": "base64"}).json()
    assert base64.b64decode(grid["png"]) == opened.post("/v1/images", json=body).content
    assert grid["weights_sha256"] == found["weights_sha256"] == Card.read(folder).files["generator.safetensors"]


def test_labels_that_are_not_asked_for_are_those_of_the_generator(folder):
    found = client(folder).post("/v1/images", json={"seed": 3, "n": 20, "format": "json"}).json()["images"]
    assert [one["label"] for one in found] == generator.load(folder).labels(range(3, 23)).tolist()


def test_health_and_model_say_what_is_served(folder):
    opened, card = client(folder), Card.read(folder)
    health, model = opened.get("/healthz").json(), opened.get("/v1/model").json()
    assert health["ready"] and health["weights_sha256"] == card.files["generator.safetensors"] and health["version"] is None
    assert (model["shape"], model["classes"], model["latent"]) == (list(card.shape), list(card.classes), card.latent)
    assert model["max_images"] == 40 and model["truncation"]


def test_the_page_loads_nothing_from_elsewhere(folder):
    response = client(folder, token="secret").get("/")
    assert response.status_code == 200 and "default-src 'none'" in response.headers["content-security-policy"]
    assert "http:" not in response.text and "https:" not in response.text and "//" not in response.text


def test_the_page_of_the_api_shows_every_route_field_and_answer_and_runs_nothing(folder):
    opened = client(folder, token="secret")
    response = opened.get("/docs")
    assert response.status_code == 200 and "script" not in response.text and "//" not in response.text
    assert (
        "script-src" not in response.headers["content-security-policy"]
        and "default-src 'none'" in response.headers["content-security-policy"]
    )
    schema = opened.get("/openapi.json", headers={"Authorization": "Bearer secret"}).json()
    assert list(schema["paths"]) == ["/healthz", "/v1/model", "/v1/images", "/v1/image/{seed}.png"]
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            assert f"{method.upper()} {path}" in response.text and all(f">{status}<" in response.text for status in route["responses"])
    for field in (*asked.Asked.model_fields, *(f"between.{name}" for name in asked.Asked.Between.model_fields)):
        assert f">{field}</code>" in response.text
    assert (
        "integer from 0 below 9007199254740992<" in response.text
        and "number above 0 to 1<" in response.text
        and "png or json or base64, png if not given" in response.text
    )


HOSTILE = [
    b'{"label": "\\ud800"}', b'{"\\ud800": 1}', b'{"label": "' + 900 * b"9" + b'"}', b'{"label": ' + 5000 * b"9" + b"}",
    b'{"label": "' + 4000 * b"9" + b'"}', b'{"seed": 1e400}', b"[" * 4000, b"\xff", b'{"columns": 400000}',
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE)
def test_hostile_bodies_are_short_sentences(folder, body):
    response = client(folder).post("/v1/images", content=body, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    assert len(response.json()["error"]) < 400 and "set_int_max_str_digits" not in response.text
    assert client(folder).get("/v1/image/1.png", params={"label": 900 * "9"}).status_code == 422


# What may be asked for


@pytest.mark.parametrize("latent", choices.names("latents"))
@pytest.mark.parametrize("network", ["mlp", "stylegan2"])
def test_a_way_between_two_seeds_ends_in_their_own_images(network, latent, tmp_path):
    made = generator.load(write(tmp_path / "model", network, latent))
    wanted = asked.Asked(between={"first": 4, "second": 11, "steps": 7}, label=1)
    way = asked.to_images(wanted, made).pixels(threading.Event())
    ends = made.sample([4, 11], [1, 1])
    assert len(way) == 7 and (way[0] == ends[0]).all()
    assert np.abs(way[-1].astype(int) - ends[1]).max() <= (1 if latent == "sphere" else 0)  # whose arc ends by a rounding off


WRONG = [
    ({"n": 41}, 422, "at most 40"),
    ({"n": 0}, 422, "n: Input should be greater"),
    ({"seeds": []}, 422, "seeds: "),
    ({"seed": -1}, 422, "seed: "),
    ({"seed": 0.5}, 422, "seed: "),
    ({"seed": 2**53}, 422, "seed: "),
    ({"seeds": [1], "n": 3}, 422, "give one of seeds, seed with n, and between"),
    ({"label": "dog"}, 422, "label dog is no class of this model; it has class 0, class 1, class 2"),
    ({"label": 3}, 422, "label 3 is no class"),
    ({"n": 2, "labels": [1]}, 422, "labels are 1 for 2 images"),
    ({"label": 1, "labels": [1]}, 422, "give labels, one an image, or label"),
    ({"truncation": 0}, 422, "truncation: "),
    ({"truncation": 1.5}, 422, "truncation: "),
    ({"between": {"first": 1, "second": 2, "steps": 1}}, 422, "between.steps: "),
    ({"between": {"first": 1, "second": 2, "steps": 100}}, 422, "at most 40"),
    ({"sede": 1}, 422, "sede: Extra inputs"),
    ({"format": "gif"}, 422, "format: "),
    ({"columns": 41}, 422, "columns is 41; this server makes at most 40 images"),
    ([1], 422, "dictionary"),
]


@pytest.mark.parametrize(("body", "status", "words"), WRONG, ids=[str(one[0]) for one in WRONG])
def test_what_is_asked_wrongly_is_a_sentence(folder, body, status, words):
    response = client(folder).post("/v1/images", json=body)
    assert response.status_code == status and words in response.json()["error"] and "Traceback" not in response.text


def test_labels_of_a_model_without_classes_are_refused(tmp_path):
    opened = client(write(tmp_path / "model", "mlp", num_classes=0))
    assert "trained without classes; leave label out" in opened.post("/v1/images", json={"label": 0}).json()["error"]
    assert opened.post("/v1/images", json={"n": 2, "format": "json"}).json()["images"][0].keys() == {"seed", "png"}
    assert opened.get("/v1/model").json()["classes"] == []


def test_other_paths_methods_and_bodies_are_sentences(folder):
    opened = client(folder)
    for response, status in [
        (opened.get("/nothing"), 404), (opened.get("/v1/images"), 405), (opened.get("/v1/image/-1.png"), 422),
        (opened.get("/v1/image/1.png?label=dog"), 422), (opened.get("/v1/image/1e3.png"), 422),
        (opened.post("/v1/images", content=b"{", headers={"content-type": "application/json"}), 400),
        (opened.post("/v1/images", content=b'{"n": 1}', headers={"content-type": "text/plain"}), 422),  # a form of another page
    ]:  # fmt: skip
        assert response.status_code == status and response.json()["error"]


def test_a_failure_inside_is_a_sentence_without_its_trace(folder, monkeypatch):
    monkeypatch.setattr(service.images, "grid", lambda *_: 1 / 0)
    response = client(folder).post("/v1/images", json={})
    assert response.status_code == 500 and response.json() == {"error": "this server failed; its own output says more"}


# Who is let in, and how much


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("localhost", 200),
        ("[::1]:1", 200),
        ("evil.example", 400),
        ("evil.example:8080", 400),
        ("127.0.0.1.evil.example", 400),
    ],
)
def test_on_loopback_only_this_machines_names_are_answered(folder, name, status):
    assert client(folder).get("/healthz", headers={"host": name}).status_code == status


def test_with_a_token_nothing_is_told_without_it(folder):
    opened = client(folder, token="sécret", host="0.0.0.0")
    bearer = {"Authorization": b"Bearer s\xc3\xa9cret"}
    assert opened.get("/v1/model", headers=bearer | {"host": "any.example"}).status_code == 200
    for headers in ({}, {"Authorization": "Bearer secret"}, {"Authorization": "Basic secret"}, {"Authorization": "Bearer"}):
        response = opened.post("/v1/images", json={}, headers=headers)
        assert response.status_code == 401 and response.headers["www-authenticate"] == "Bearer"
        assert opened.get("/openapi.json", headers=headers).status_code == 401
    assert opened.get("/healthz").status_code == 200


def test_another_host_without_a_token_is_refused(folder, capsys, monkeypatch):
    monkeypatch.delenv("GANLINE_TOKEN", raising=False)
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org", ""):
        assert answer.with_sentences("gan serve", serve.main, [str(folder), "--host", host, "--port", "0"]) == 2
        assert "give a --token" in capsys.readouterr().err


def test_answers_do_not_wait_for_acknowledgements():
    with serve._listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_body_that_is_too_large_is_refused_however_it_comes(folder):
    opened = client(folder)
    large = b'{"seeds": [' + b"1, " * 4000 + b"1]}"
    assert opened.post("/v1/images", content=large).status_code == 413
    assert opened.post("/v1/images", content=(large[start : start + 100] for start in range(0, len(large), 100))).status_code == 413


def test_those_who_cannot_wait_are_told_to_come_again():
    """One is computed, two wait, the fourth is Busy; whoever's time is up before its turn is never computed."""

    async def scene() -> tuple:
        working, hold, computed = worker.Worker(most_waiting=2, timeout_s=patient(0.15)), threading.Event(), []

        def work(number: int):
            return lambda abandoned: (hold.wait(patient(60)), computed.append(number))

        tasks = [asyncio.create_task(working.run(work(0)))]
        await asyncio.sleep(0.1)
        tasks += [asyncio.create_task(working.run(work(number))) for number in (1, 2, 3)]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        hold.set()
        await asyncio.sleep(0.1)  # the thread passes over those that wait no more
        again = await working.run(lambda abandoned: "again")
        return found, again, computed

    found, again, computed = asyncio.run(scene())
    assert [type(one) for one in found] == [worker.TooSlow, worker.TooSlow, worker.TooSlow, worker.Busy]
    assert again == "again" and computed == [0]


def test_a_full_queue_is_503_with_retry_after_and_a_slow_answer_504(folder, monkeypatch):
    hold = threading.Event()
    monkeypatch.setattr(asked.Images, "pixels", lambda self, abandoned: hold.wait(patient(60)) or np.zeros((1, 3, 8, 8), np.uint8))
    opened = client(folder, waiting=1, timeout_s=patient(0.25))
    found: list = []
    threads = [threading.Thread(target=lambda: found.append(opened.post("/v1/images", json={}))) for _ in range(4)]
    with opened:
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        for thread in threads:
            thread.join()
    hold.set()
    assert sorted(one.status_code for one in found) == [503, 503, 504, 504]
    assert all(one.headers["retry-after"] == "1" for one in found if one.status_code == 503)


def test_an_abandoned_request_ends_after_its_block(folder):
    made = asked.to_images(asked.Asked(seed=0, n=1000), generator.load(folder))
    abandoned = threading.Event()
    abandoned.set()
    assert len(made.pixels(abandoned)) == small_training.card().block_size
