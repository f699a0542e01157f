"""Drawing: pictures, charts, SVG and HTML."""
