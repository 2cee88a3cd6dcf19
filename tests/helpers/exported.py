"""A generator in a folder, with weights so large that its images differ."""

from stages import artifacts


def write(folder, network: str, latent: str = "normal", num_classes: int = 3, shape: tuple = (3, 8, 16)):
    """A generator's folder, with weights so large that images differ and attention takes part."""
    import small_training
    import torch

    from gan import choices, generator

    card = small_training.card(network, latent, num_classes, shape)
    if "attention" in choices.module("networks", network).Config.model_fields:
        card.network["attention"] = [4]
    torch.manual_seed(0)
    made = generator.task(card).player("generator")
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    folder.mkdir()
    generator.save(folder / "generator.safetensors", made.state_dict())
    files = {"generator.safetensors": artifacts.sha256_of_file(folder / "generator.safetensors")}
    artifacts.write_json(folder / "card.json", card.content() | {"files": files})
    return folder
