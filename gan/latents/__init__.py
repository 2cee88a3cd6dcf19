"""Latent spaces: one file each; samples by (seed, index), whatever the batch."""
