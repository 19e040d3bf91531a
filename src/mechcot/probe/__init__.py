"""Linear probes for "this step is judged erroneous", beside everything that might explain them."""

from mechcot.probe.report import Baseline, ProbeReport, fit_report, fit_table
from mechcot.probe.table import SIGNALS, step_table

__all__ = ["SIGNALS", "Baseline", "ProbeReport", "fit_report", "fit_table", "step_table"]
