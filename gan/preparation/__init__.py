"""From raw pictures to the images of a data set: decode, resize, compare, choose. Knows Pillow and NumPy, not torch."""
