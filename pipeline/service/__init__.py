"""What runs by itself: the processes of `gan up`, and when they run the flow."""
