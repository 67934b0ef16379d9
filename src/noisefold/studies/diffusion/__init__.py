"""Studies of the noise itself: schedules, targets, samplers and starts, beside exact answers."""
