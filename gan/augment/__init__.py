"""Augmentations of what the discriminator sees, real and generated alike: one file each, with its paper."""
