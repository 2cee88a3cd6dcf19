"""What looks at images for the scores: one file each; features (N, D) and logits (N, K) of uint8 images."""
