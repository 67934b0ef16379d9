"""Studies of the neighbourhood: how far and how coarsely a noisy graph is best looked at."""
