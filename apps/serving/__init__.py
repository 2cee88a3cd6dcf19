"""What `gan serve` is made of: who is let in, what is asked, the one worker, the model that follows its alias, the page."""
