"""What the train stage puts together from files: choices, a warm start, pictures of attention."""
