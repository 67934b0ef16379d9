"""A report as one HTML page: its sections, template, style sheet and script."""
