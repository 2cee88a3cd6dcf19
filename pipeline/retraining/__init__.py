"""When a run that nobody started by hand trains, and on which data."""
