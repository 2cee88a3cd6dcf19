"""Raw image sets: one file each; `images(path)` yields what is in them."""
