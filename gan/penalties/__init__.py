"""Penalties on the discriminator or the generator: one file each, with its equation and paper."""
