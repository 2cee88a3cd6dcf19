"""What only gan evaluate reads: pictures of another tool, generators of another project."""
