"""Pictures: static figures, and the report of a model as one HTML page."""

from noisefold.report.calibration import Calibration, calibration_plot
from noisefold.report.fields import Names
from noisefold.report.heldout import hidden_genes, recover
from noisefold.report.maps import completion_maps, field_maps
from noisefold.report.page import report_html, write_report
from noisefold.report.plots import contact_sheet, schedule_curves, training_curves, trajectory_strip
from noisefold.report.strip import film_strip, time_strip

__all__ = [
    "Calibration",
    "Names",
    "calibration_plot",
    "completion_maps",
    "contact_sheet",
    "field_maps",
    "film_strip",
    "hidden_genes",
    "recover",
    "report_html",
    "schedule_curves",
    "time_strip",
    "training_curves",
    "trajectory_strip",
    "write_report",
]
