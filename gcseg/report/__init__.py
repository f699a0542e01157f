"""Reports for people: pages, charts and pictures."""
