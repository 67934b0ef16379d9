"""Studies of spatial transcriptomics: a simulated limb bud and real tissues."""
