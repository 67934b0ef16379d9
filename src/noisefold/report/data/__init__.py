"""What a report shows, as plain data: projections, trajectories, histories, calibration, recovery."""
