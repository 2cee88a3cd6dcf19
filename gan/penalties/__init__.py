"""Penalties on the discriminator: one file each, with its equation and paper."""
