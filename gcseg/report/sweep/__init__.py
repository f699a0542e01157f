"""Scores of a sweep's runs side by side: tables, plots, report.html."""
