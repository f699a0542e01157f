"""Comparison of a sweep's runs: tables, plots, report.html."""
