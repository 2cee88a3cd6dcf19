"""Truncation draws images to the model's mean: latents to 0, styles to the mean style of their class."""

import threading

import numpy as np
import pytest
import torch
from exported import write
from served_generator import client

from apps import answer, sample, truncation
from apps.serving import asked
from gan import generator


def styled(folder, latent: str = "normal"):
    """A network whose images are made by their styles: the mapping's weights are multiplied by a hundredth when used."""
    made = generator.load(write(folder, "stylegan2", latent))
    with torch.no_grad():
        for name, parameter in made.network.named_parameters():
            parameter.mul_(100 if name.startswith("mapping") else 0 if name.endswith("strength") else 1)
    return made


def spread(made, psi: float, label: int) -> float:
    """How much images of one class differ."""
    return truncation.truncated(made, psi).sample(range(30), [label] * 30).astype(float).std(axis=0).mean()


def test_latents_are_scaled_where_there_are_no_styles(tmp_path):
    made = generator.load(write(tmp_path / "model", "dcgan"))
    given, half = made.given(np.arange(5), np.arange(5) % 3), truncation.truncated(made, 0.5)
    assert (half.make(given) == made.make(given | {"latents": given["latents"] * 0.5})).all()
    assert spread(made, 0.1, 0) < spread(made, 1.0, 0) / 2


@pytest.mark.parametrize("latent", ["normal", "uniform"])
def test_styles_are_drawn_to_the_mean_of_their_class(tmp_path, latent):
    made = styled(tmp_path / "model", latent)
    latents, labels = made.given(np.arange(4), None)["latents"], torch.tensor([0, 1, 2, 0])
    styles, half = made.network.to_styles(latents, labels), []
    taken = truncation.truncated(made, 0.5)
    taken.network.network = type("Spy", (torch.nn.Module,), {
        "to_styles": lambda self, *given: styles, "from_styles": lambda self, styles_NLS, latents: half.append(styles_NLS),
    })()  # fmt: skip
    taken.network(latents, labels)
    means = torch.stack([truncation.mean_style(made, int(label)) for label in labels])[:, None]
    torch.testing.assert_close(half[0] - means, (styles - means) / 2)
    assert not torch.equal(truncation.mean_style(made, 0), truncation.mean_style(made, 1))
    assert spread(made, 0.1, 1) < spread(made, 1.0, 1) / 2


def test_the_mean_style_is_a_function_of_the_weights(tmp_path):
    folder = write(tmp_path / "model", "stylegan2")
    one, other = generator.load(folder), generator.load(folder)
    truncation.mean_style(other, 2)  # asked for in another order
    torch.rand(3)
    assert torch.equal(truncation.mean_style(one, 1), truncation.mean_style(other, 1))
    exact = torch.cat([one.network.to_styles(
        generator.choices.module("latents", "normal").sample(
            generator.choices.config("latents", one.card.latent), generator.streams.key(0, "truncation/mean"),
            np.arange(first, first + 2500),
        ), torch.ones(2500, dtype=torch.long))[:, 0].double() for first in range(0, 10_000, 2500)]).mean(dim=0)  # fmt: skip
    torch.testing.assert_close(truncation.mean_style(one, 1).double(), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("network", ["dcgan", "stylegan2"])
def test_psi_of_one_makes_the_models_own_images_and_a_block_is_no_other(tmp_path, network):
    made = generator.load(write(tmp_path / "model", network))
    assert (truncation.truncated(made, 1.0).sample(range(5)) == made.sample(range(5))).all()
    half = truncation.truncated(made, 0.5)
    assert (half.sample(range(40))[3:9] == half.sample(range(3, 9))).all()
    assert (asked.to_images(asked.Asked(seed=0, n=5, truncation=0.5), made).pixels(threading.Event()) == half.sample(range(5))).all()


def test_truncation_is_refused_where_it_means_nothing(tmp_path, capsys):
    folder = write(tmp_path / "model", "mlp", "uniform")
    response = client(folder).post("/v1/images", json={"truncation": 0.5})
    assert response.status_code == 422 and "leaves the space 'uniform'" in response.json()["error"]
    assert answer.with_sentences("gan sample", sample.main, [str(folder), "-o", str(tmp_path / "a.png"), "--truncation", "0.5"]) == 2
    assert "leaves the space 'uniform'" in capsys.readouterr().err


def test_gan_sample_truncates(tmp_path, capsys):
    folder = write(tmp_path / "model", "dcgan")
    for psi, name in (("0.5", "half"), ("1", "whole")):
        assert sample.main([str(folder), "-n", "4", "-o", str(tmp_path / f"{name}.png"), "--truncation", psi]) == 0
    assert (tmp_path / "half.png").read_bytes() != (tmp_path / "whole.png").read_bytes()
    with pytest.raises(ValueError, match="leave one out"):
        sample.main([str(folder), "-o", str(tmp_path / "made"), "--shards", "--truncation", "0.5"])
    assert sample.main([str(folder), "--truncation", "1.5"]) == 2
    assert "1.5 is no number above 0, at most 1" in capsys.readouterr().err
