"""Pictures decoded beside one another, and the report of a prepared set."""
