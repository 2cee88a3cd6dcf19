"""What takes features: weights come only by their hash, and every extractor sees an image the same way in any company."""

import hashlib
import http.server
import io
import threading
import warnings
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from gan import choices
from gan.extractors import _pictures, _weights, dinov2, inception

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
    pixels = pictures((3, 24, 32), 16)
    expected, expected_logits = inception_network.inception(pixels)
    found, logits = inception_network(pixels)
    scale = expected.abs().max()
    assert (found - expected).abs().max() < 2e-6 * scale and (logits - expected_logits).abs().max() < 1e-5 * expected_logits.abs().max()
    theirs, ours = distance(expected[:8], expected[8:]), distance(found[:8], found[8:])
    assert theirs > 0 and ours == pytest.approx(theirs, rel=1e-5)


@torch.inference_mode()
def test_inception_shares_threads_out_and_gives_them_back(inception_network, monkeypatch):
    pixels, before, seen = pictures((3, 16, 16), 20), torch.get_num_threads(), []
    try:
        torch.set_num_threads(1)
        alone = inception_network(pixels)[0]
        torch.set_num_threads(3)
        taken = inception._folded(inception_network.inception, by_transforms=True)
        monkeypatch.setattr(inception_network, "_derived", [lambda images: seen.append(torch.get_num_threads()) or taken(images)])
        torch.testing.assert_close(inception_network(pixels)[0], alone, rtol=1e-5, atol=1e-6)
        assert seen == [1, 1, 1] and torch.get_num_threads() == 3

        monkeypatch.setattr(inception_network, "_derived", [lambda images: 1 / 0])
        with pytest.raises(ZeroDivisionError):
            inception_network(pixels)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


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
def test_resizing_is_tensorflows_and_clean_fids(shape):
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    pixels = pictures(shape, 2)
    expected = interpolate_bilinear_2d_like_tensorflow1x(pixels.float(), (299, 299), align_corners=False)
    torch.testing.assert_close(_pictures.resize(pixels, 299, "tf1"), expected, rtol=0, atol=1e-3)
    found = _pictures.resize(pixels, 299, "clean")
    for channel, plane in zip(found.flatten(0, 1), pixels.flatten(0, 1)):
        expected = Image.fromarray(plane.numpy().astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(channel, np.asarray(expected).clip(0, 255), rtol=0, atol=1e-3)  # clean-fid 0.1.35 cuts so


def small(name, shape=(3, 16, 16), **fields):
    module = choices.module("extractors", name)
    return module.build(module.Config(**module.SMALL | fields), shape, 3)


def fitted(name, network, pixels, **fields):
    """What `fit` returns, of a network that `small` built."""
    module = choices.module("extractors", name)
    steps = module.fit(module.Config(**module.SMALL | fields), network, (pixels.numpy(), None), (pixels.numpy(), None), 0)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            network.eval().requires_grad_(False)
            return stop.value


class Averages(torch.nn.Module):
    """A network of one's own: averages of a convolution of images (N, 3, H, W)."""

    def __init__(self, channels=3):
        super().__init__()
        self.layer = torch.nn.Conv2d(channels, 5, 3)

    def forward(self, images):
        return self.layer(images).mean((2, 3))


def exported(path, channels=3, network=Averages):
    torch.manual_seed(0)
    network = network(channels).eval()
    any_number = torch.export.Dim.DYNAMIC
    program = torch.export.export(network, (torch.rand(2, channels, 16, 16),), dynamic_shapes=({0: any_number},))
    torch.export.save(program, path)
    return network


def with_weights(name, tmp_path, shape):
    """A network of a choice that has random weights, as after `fit`."""
    network = small(name, shape)
    if name == "file":
        exported(tmp_path / "network.pt2", shape[0])
        network.load_state_dict({"content": torch.frombuffer(bytearray((tmp_path / "network.pt2").read_bytes()), dtype=torch.uint8)})
    return fill(network)


@pytest.fixture(scope="module", params=choices.names("extractors"))
def extractor(request, tmp_path_factory):
    return with_weights(request.param, tmp_path_factory.mktemp(request.param), (3, 16, 16))


def is_large(network):
    return sum(tensor.numel() for tensor in network.state_dict().values()) > 1_000_000


def assert_near(found, expected):
    assert found.shape == expected.shape and found.dtype == torch.float32
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@torch.inference_mode()
def test_features_of_an_image_depend_neither_on_its_company_nor_on_its_place(extractor):
    count, alone = (4, 1) if is_large(extractor) else (256, 3)
    pixels = pictures((3, 16, 16), count)
    features, logits = extractor(pixels)
    assert len(features) == len(logits) == count and features.isfinite().all() and logits.isfinite().all()
    assert not torch.equal(features[0], features[1]), "two images have the same features"
    for size in (7, 3) if count > 7 else (3,):
        assert_near(torch.cat([extractor(few)[0] for few in pixels.split(size)]), features)
    for index in range(alone):
        assert_near(extractor(pixels[index : index + 1])[0], features[index : index + 1])
    assert_near(extractor(pixels.flip(0))[0].flip(0), features)


@torch.inference_mode()
def test_the_same_state_gives_the_same_bits(extractor):
    pixels = pictures((3, 16, 16), 2)
    features, logits = extractor(pixels)
    again = extractor(pixels)
    assert torch.equal(again[0], features) and torch.equal(again[1], logits)
    state = safetensors.torch.load(safetensors.torch.save(extractor.state_dict()))
    before = {name: tensor.clone() for name, tensor in state.items()} if not is_large(extractor) else None
    extractor.load_state_dict(state)
    again = extractor.eval()(pixels)
    assert torch.equal(again[0], features) and torch.equal(again[1], logits)
    assert before is None or all(torch.equal(before[name], tensor) for name, tensor in extractor.state_dict().items())


@torch.inference_mode()
@pytest.mark.parametrize("name", choices.names("extractors"))
def test_a_fresh_network_takes_the_state_of_another(name, tmp_path):
    if is_large(small(name)):
        pytest.skip("too large to hold twice; its state is loaded into itself above")
    network, pixels = with_weights(name, tmp_path, (3, 16, 16)), pictures((3, 16, 16), 3)
    other = small(name)
    other.load_state_dict(safetensors.torch.load(safetensors.torch.save(network.state_dict())))
    assert torch.equal(other.eval()(pixels)[0], network(pixels)[0])


@torch.inference_mode()
@pytest.mark.parametrize("name", choices.names("extractors"))
def test_other_channels_than_rgb_are_taken_or_refused_with_the_way_out(name, tmp_path):
    for channels in (1, 4):
        shape = (channels, 16, 16)
        try:
            network = with_weights(name, tmp_path, shape)
        except ValueError as refusal:
            assert channels == 4 and "1 or 3 channels" in str(refusal) and "prepare" in str(refusal)
            continue
        features, _ = network(pictures(shape, 2))
        assert features.isfinite().all() and features.dim() == 2


@torch.inference_mode()
def test_grey_is_what_it_is_repeated_as_rgb(extractor):
    module = type(extractor).__module__.rpartition(".")[2]
    if module not in ("inception", "clip", "dinov2", "vgg16"):
        pytest.skip("takes the channels that it was built for")
    grey = pictures((1, 16, 16), 2)
    assert_near(extractor(grey)[0], extractor(grey.expand(-1, 3, -1, -1))[0])


def theirs(kind, **parts):
    """An extractor of torch-fidelity around given parts, past its constructor, which would download."""
    network = kind.__new__(kind)
    torch.nn.Module.__init__(network)
    network.feature_extractor_internal_dtype = torch.float32
    for name, part in parts.items():
        setattr(network, name, part)
    return network


@torch.inference_mode()
def test_features_are_torch_fidelitys(extractor):
    module = type(extractor).__module__.rpartition(".")[2]
    if module == "vgg16":
        from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

        expected = theirs(FeatureExtractorVGG16, features_list=["fc2_relu"], model=extractor.model)
    elif module == "clip":
        from torch_fidelity.feature_extractor_clip import FeatureExtractorCLIP

        expected = theirs(FeatureExtractorCLIP, features_list=["clip"], model=extractor, resolution=extractor.visual.input_resolution)
    elif module == "dinov2":
        from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

        expected = theirs(FeatureExtractorDinoV2, features_list=["dinov2"], model=extractor.model)
    else:
        pytest.skip("not torch-fidelity's, or compared elsewhere")
    pixels = pictures((3, 20, 24), 2)
    assert_near(extractor(pixels)[0], expected(pixels)[0])


def test_clip_finds_its_image_tower_in_the_published_names(tmp_path):
    network = fill(small("clip"))
    path = tmp_path / "clip.safetensors"
    published = {f"visual.{name}": tensor.half() for name, tensor in network.visual.state_dict().items()}
    safetensors.torch.save_file(published | {"logit_scale": torch.ones(1), "transformer.x": torch.ones(2)}, path)
    other, settings = small("clip"), {"weights": str(path), "sha256": sha256_of(path)}
    assert fitted("clip", other, pictures((3, 16, 16), 1), **settings) == {"weights_sha256": sha256_of(path)}
    assert all(torch.equal(tensor, published[f"visual.{name}"].float()) for name, tensor in other.visual.state_dict().items())


def test_dinov2_reads_the_published_names_and_names_another_variants(tmp_path):
    network = fill(small("dinov2"))
    path = tmp_path / "dinov2.pth"
    torch.save(network.model.state_dict() | {"mask_token": torch.zeros(1, 384)}, path)
    other, settings = small("dinov2"), {"weights": str(path), "sha256": sha256_of(path)}
    fitted("dinov2", other, pictures((3, 16, 16), 1), **settings)
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in other.state_dict().items())
    with pytest.raises(ValueError, match="holds the weights of another network: .*size mismatch"):
        fitted("dinov2", small("dinov2", variant="vit-b-14"), pictures((3, 16, 16), 1), variant="vit-b-14", **settings)


def test_places_of_dinov2_are_those_it_was_trained_with_at_its_own_size():
    network = fill(dinov2.Transformer(8, 1, 2))
    grid = network.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (37, 37))
    assert torch.equal(network._places(37, 37), grid) and network._places(16, 16).shape == (1, 8, 16, 16)


def test_tensors_of_a_torchscript_archive_are_read(tmp_path):
    network, path = Averages(), tmp_path / "network.pt"
    scripted(network, path)
    found = _weights.read(str(path), sha256_of(path))
    assert set(found) == set(network.state_dict()) and torch.equal(found["layer.weight"], network.layer.weight)


def scripted(network, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.trace(network.eval(), torch.rand(2, 3, 16, 16)), path)


def in_onnx(network, path):
    onnx = pytest.importorskip("onnx", reason="onnx is missing: pip install onnx")
    pytest.importorskip("onnxruntime", reason="onnxruntime is missing: pip install 'ganline[onnx]'")
    helper, tensors = onnx.helper, dict(network.layer.named_parameters())
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "weight", "bias"], ["maps"]),
            helper.make_node("ReduceMean", ["maps"], ["features"], axes=[2, 3], keepdims=0),
        ],
        "averages",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["N", 3, 16, 16])],
        [helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["N", 5])],
        [onnx.numpy_helper.from_array(tensor.detach().numpy(), name) for name, tensor in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


@torch.inference_mode()
@pytest.mark.parametrize("suffix", [".pt2", ".ts", ".pt", ".onnx"])
@pytest.mark.parametrize("given", ["unit", "signed"])
def test_a_network_of_ones_own_gives_its_features(suffix, given, tmp_path):
    path = tmp_path / f"network{suffix}"
    with torch.inference_mode(False):
        if suffix == ".pt2":
            network = exported(path)
        else:
            network = Averages().eval()
            (in_onnx if suffix == ".onnx" else scripted)(network, path)
    settings = {"path": str(path), "sha256": sha256_of(path), "input": given}
    pixels = pictures((3, 16, 16), 5)
    found = small("file", **settings)
    assert fitted("file", found, pixels, **settings) == {"weights_sha256": sha256_of(path)}
    path.unlink()  # its state holds the file
    expected = network(pixels / 255 if given == "unit" else pixels / 127.5 - 1)
    torch.testing.assert_close(found(pixels)[0], expected, rtol=1e-5, atol=1e-6)


@torch.inference_mode()
def test_size_and_range_are_what_the_file_was_made_for(tmp_path):
    class Seen(torch.nn.Module):
        def forward(self, images):
            return images.flatten(1).double(), images.shape[2]

    path = tmp_path / "network.ts"
    with torch.inference_mode(False), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.script(Seen()), path)
    pixels = pictures((1, 12, 20), 2)
    for given in ("uint8", "unit"):
        settings = {"path": str(path), "sha256": sha256_of(path), "input": given, "size": 8}
        network = small("file", (1, 12, 20), **settings)
        fitted("file", network, pixels, **settings)
        expected = _pictures.resize(pixels, 8, "clean").flatten(1)
        expected = expected.round().clamp(0, 255) if given == "uint8" else expected / 255
        torch.testing.assert_close(network(pixels)[0], expected)


def refused(path, sentence, **fields):
    settings = {"path": str(path), "sha256": sha256_of(path), "input": "unit", **fields}
    with pytest.raises(ValueError, match=sentence):
        fitted("file", small("file", **settings), pictures((3, 16, 16), 2), **settings)


def test_pickles_are_refused_and_not_run(tmp_path):
    ran = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return open, (str(ran), "w")

    for suffix in (".pt", ".ts"):
        torch.save(Bomb(), tmp_path / f"bomb{suffix}")
        refused(tmp_path / f"bomb{suffix}", "no TorchScript archive but a pickle")
    exported(tmp_path / "plain.pt2")
    hidden = io.BytesIO()
    torch.save(Bomb(), hidden)
    with zipfile.ZipFile(tmp_path / "plain.pt2") as plain, zipfile.ZipFile(tmp_path / "bomb.pt2", "w") as bomb:
        for name in plain.namelist():
            bomb.writestr(name, hidden.getvalue() if name.endswith("sample_inputs/model.pt") else plain.read(name))
    refused(tmp_path / "bomb.pt2", "has a pickle inside .*sample_inputs")
    with zipfile.ZipFile(tmp_path / "plain.pt2") as plain, zipfile.ZipFile(tmp_path / "flagged.pt2", "w") as flagged:
        for name in plain.namelist():
            flagged.writestr(name, plain.read(name).replace(b'"use_pickle": false', b'"use_pickle": true'))
    refused(tmp_path / "flagged.pt2", "has a pickle inside .*weights_config")
    assert not ran.exists()


def test_a_file_that_does_not_fit_is_refused_with_the_way_out(tmp_path):
    exported(tmp_path / "grey.pt2", channels=1)
    refused(tmp_path / "grey.pt2", r"does not take unit images \(1, 3, 16, 16\).*dynamic first dimension")
    scripted(torch.nn.Identity(), tmp_path / "images.ts")
    refused(tmp_path / "images.ts", "not one row of features an image")
    with pytest.raises(ValueError, match="ends in none of .pt2, .ts, .pt, .onnx"):
        small("file", path="network.bin")


def test_a_missing_package_for_onnx_explains_itself(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'ganline\[onnx\]'"):
        small("file", path="network.onnx")
