"""Training, knowing no method: one step, one loop, one run folder."""
