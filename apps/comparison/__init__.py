"""What `gan compare` is made of."""
