"""What the scripts share: options, training loop, run folder, checkpoints, schedules, plots."""
