"""Pictures of a report: matplotlib for paper, plotly for the screen."""
