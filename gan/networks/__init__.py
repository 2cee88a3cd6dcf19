"""Architectures: one file each, with Config, Generator and Discriminator."""
