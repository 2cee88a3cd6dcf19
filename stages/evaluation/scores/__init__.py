"""Scores, one file each. A file says what it is for and what it needs, and measures:

`TASKS`    the tasks (gan/tasks) whose products it scores
`NEEDS`    of `Measured.has` (stages/evaluation/measured.py): what must be there for it; else it is left out
`RANK`     its place in tables, the least first
`SAYS`     of each of its scores, by the key in metrics.json: name, which is better, what it says
`measure`  Measured -> a part of metrics.json
`fight`    of a score that a gate may ask for: both sides' values over their draws, and the deviation of the difference by real images
"""
