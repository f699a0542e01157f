"""The drawing kit: pictures, charts, SVG, HTML."""
