"""What studies share: scales, cached results, trials at equal training time, tables, figures and data."""
