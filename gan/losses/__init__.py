"""Adversarial losses: one file each, with its equation and paper."""
