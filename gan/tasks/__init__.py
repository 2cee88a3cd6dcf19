"""Games: one file each says who plays, in which turns, for what (`Task` in gan/play.py is what a file has to have).

`PLAYERS`: the networks by name, in the order that they are built in, and what is kept of each. `ITEM`: what a row of the
prepared set must be. `GIVEN`: what a product is asked by.
"""
