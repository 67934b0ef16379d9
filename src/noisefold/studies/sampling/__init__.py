"""Studies of sampling: solvers, conditioning, and couplings of noise and data."""
