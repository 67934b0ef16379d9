"""Pictures: static figures, and the report of a model as one HTML page."""

from noisefold.report.data.calibration import Calibration
from noisefold.report.data.projection import Names
from noisefold.report.data.recovery import hide_features, recover
from noisefold.report.data.trajectory import sample_trajectory
from noisefold.report.figures.clouds import contact_sheet, trajectory_strip
from noisefold.report.figures.curves import calibration_plot, schedule_curves, training_curves
from noisefold.report.figures.field_maps import completion_maps, field_maps
from noisefold.report.figures.field_series import field_trajectory, time_series
from noisefold.report.page.build import write_report

__all__ = [
    "Calibration",
    "Names",
    "calibration_plot",
    "completion_maps",
    "contact_sheet",
    "field_maps",
    "field_trajectory",
    "hide_features",
    "recover",
    "sample_trajectory",
    "schedule_curves",
    "time_series",
    "training_curves",
    "trajectory_strip",
    "write_report",
]
