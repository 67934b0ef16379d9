"""Pictures: static figures, and the report of a model as one HTML page."""

from noisefold.report.page import report_html, write_report
from noisefold.report.plots import contact_sheet, schedule_curves, training_curves, trajectory_strip

__all__ = [
    "contact_sheet",
    "report_html",
    "schedule_curves",
    "training_curves",
    "trajectory_strip",
    "write_report",
]
