"""Studies of networks: attention, depth, and adaptive schedules."""
