"""What takes features: weights come only by their hash, and every extractor sees an image the same way in any company."""

import hashlib
import http.server
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from gan.extractors import _pictures, _weights, inception

CONTENT = bytes(range(256)) * 40_000  # ten blocks of the download
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """A loopback server of CONTENT. `cuts`: after how many bytes each next answer breaks off; `ranges`: knows Range."""

    def __init__(self, content=CONTENT, ranges=True, cuts=()):
        super().__init__(("127.0.0.1", 0), Answer)
        self.content, self.ranges, self.cuts, self.asked = content, ranges, list(cuts), []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/weights.pth"


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        body = self.server.content[start:]
        self.send_response(416 if not body else 206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cuts.pop(0)] if self.server.cuts else body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def serve(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    servers = []

    def start(**options):
        servers.append(Server(**options))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def content_of(weights, sha256=SHA256):
    with _weights.opened(str(weights), sha256) as file:
        return file.read()


def kept(tmp_path):
    return {path.name.replace(SHA256, "SHA") for path in (tmp_path / "cache/ganline").iterdir()}


def test_a_file_is_downloaded_once_for_all_projects(serve, tmp_path):
    server = serve()
    assert content_of(server.url) == content_of(server.url) == CONTENT
    assert server.asked == [None] and kept(tmp_path) == {"SHA", "SHA.lock"}


def test_a_download_that_breaks_off_goes_on_where_it_broke(serve):
    server = serve(cuts=[3_000_000, 1_000_000])
    assert content_of(server.url) == CONTENT
    assert server.asked == [None, "bytes=3000000-", "bytes=4000000-"]


def test_a_server_without_range_starts_again(serve):
    server = serve(ranges=False, cuts=[3_000_000])
    assert content_of(server.url) == CONTENT
    assert server.asked == [None, "bytes=3000000-"]


def test_what_came_is_kept_for_the_next_try_when_the_server_is_gone(serve, tmp_path):
    server = serve(cuts=[3_000_000, 0])
    with pytest.raises(FileNotFoundError, match="3000000 bytes are kept, and the same command goes on"):
        content_of(server.url)
    assert kept(tmp_path) == {"SHA.part", "SHA.lock"}
    assert content_of(server.url) == CONTENT and server.asked[-1] == "bytes=3000000-"


def test_a_part_that_was_complete_is_taken(serve, tmp_path):
    server = serve()
    (tmp_path / "cache/ganline").mkdir(parents=True)
    (tmp_path / f"cache/ganline/{SHA256}.part").write_bytes(CONTENT)
    assert content_of(server.url) == CONTENT and len(server.asked) == 1


def test_a_download_of_another_hash_is_refused_with_both_and_not_kept(serve, tmp_path):
    server = serve(content=CONTENT[:-1] + b"?")
    with pytest.raises(ValueError, match="was not opened and is no longer in the cache") as refusal:
        content_of(server.url)
    assert SHA256 in str(refusal.value) and hashlib.sha256(server.content).hexdigest() in str(refusal.value)
    assert kept(tmp_path) == {"SHA.lock"}


def test_two_at_once_download_once(serve):
    server = serve()
    found = []
    threads = [threading.Thread(target=lambda: found.append(content_of(server.url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 4 and len(server.asked) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/weights.pth", "nonsense://weights"])
def test_no_server_is_said_with_the_way_out(url, serve):
    with pytest.raises(FileNotFoundError, match="could not be fetched .*give its path as reference.protocol.weights"):
        content_of(url)


def test_a_file_of_another_hash_is_refused_and_left_alone(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"other")
    with pytest.raises(ValueError, match="it was not opened. Fetch"):
        content_of(tmp_path / "weights.pth")
    assert (tmp_path / "weights.pth").read_bytes() == b"other"
    with pytest.raises(FileNotFoundError, match="none.pth, reference.protocol.weights, is no file; fetch it"):
        content_of(tmp_path / "none.pth")


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_only_plain_tensors_are_read(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.nn.Linear(1, 1)}, path)  # a module: code by name
    with pytest.raises(ValueError, match="no file of plain tensors"):
        _weights.read(str(path), sha256_of(path))


def test_weights_of_another_network_are_named(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(torch.nn.Linear(3, 2).state_dict(), path)
    with pytest.raises(ValueError, match="another network: .*size mismatch for weight"):
        _weights.load(torch.nn.Linear(4, 2), str(path), sha256_of(path))


def fill(network, seed=0):
    """Random weights of a network's form, scaled by fan-in so that activations stay finite; what are no numbers stays."""
    random = torch.Generator().manual_seed(seed)
    state = network.state_dict()
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=random)
        if tensor.dim() > 1:
            noise *= (2 / tensor[0].numel()) ** 0.5
        else:
            noise = 1 + 0.1 * noise.clamp(-3, 3) if name.endswith(("weight", "running_var")) else 0.1 * noise
        state[name] = noise
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def pictures(shape, count, seed=0):
    """(count, *shape) uint8: smooth, as pictures are, with some noise."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, shape[0], 4, 4, generator=random) * 230
    smooth = torch.nn.functional.interpolate(coarse, shape[1:], mode="bilinear")
    return (smooth + torch.rand(count, *shape, generator=random) * 25).to(torch.uint8)


@pytest.fixture(scope="module")
def inception_network():
    return fill(inception.Network())


def distance(features, others):
    """Fréchet distance in float64; the trace of the root of both covariances' product is a nuclear norm of a small matrix."""
    both = [part.double() for part in (features, others)]
    one, other = ((part - part.mean(0)) / (len(part) - 1) ** 0.5 for part in both)
    shift = both[0].mean(0) - both[1].mean(0)
    return float(shift @ shift + one.square().sum() + other.square().sum() - 2 * torch.linalg.svdvals(one @ other.T).sum())


@torch.inference_mode()
def test_inception_has_torch_fidelitys_features_logits_and_distances(inception_network):
    pixels = pictures((3, 24, 32), 24)
    expected, expected_logits = inception_network.inception(pixels)
    found, logits = inception_network(pixels)
    scale = expected.abs().max()
    assert (found - expected).abs().max() < 2e-6 * scale and (logits - expected_logits).abs().max() < 1e-5 * expected_logits.abs().max()
    theirs, ours = distance(expected[:12], expected[12:]), distance(found[:12], found[12:])
    assert theirs > 0 and ours == pytest.approx(theirs, rel=1e-5)


@torch.inference_mode()
def test_bfloat16_stays_near_and_is_not_the_same(inception_network):
    quick = inception.Network(precision="bfloat16")
    quick.load_state_dict(inception_network.state_dict())
    pixels = pictures((1, 16, 16), 4)
    exact, found = inception_network(pixels)[0], quick.eval().requires_grad_(False)(pixels)[0]
    assert found.dtype == torch.float32
    assert 0 < (found - exact).norm() < 0.02 * exact.norm()


@torch.inference_mode()
def test_inception_computes_with_the_weights_that_it_has_now(inception_network):
    pixels = pictures((3, 16, 16), 1)
    network = fill(inception.Network(), seed=1)
    before = network(pixels)[0]
    network.load_state_dict(inception_network.state_dict())
    assert torch.equal(network(pixels)[0], inception_network(pixels)[0]) and not torch.equal(network(pixels)[0], before)
    assert set(network.state_dict()) == {f"inception.{name}" for name in network.inception.state_dict()}


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 20, 400), (3, 299, 299), (2, 640, 310)])
def test_resizing_is_tensorflows_and_pillows(shape):
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    pixels = pictures(shape, 2)
    expected = interpolate_bilinear_2d_like_tensorflow1x(pixels.float(), (299, 299), align_corners=False)
    torch.testing.assert_close(_pictures.resize(pixels, 299, "tf1"), expected, rtol=0, atol=1e-3)
    found = _pictures.resize(pixels, 299, "clean")
    for channel, plane in zip(found.flatten(0, 1), pixels.flatten(0, 1)):
        expected = Image.fromarray(plane.numpy().astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(channel, np.asarray(expected), rtol=0, atol=1e-3)
