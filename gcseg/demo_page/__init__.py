"""A page in the browser to try trained networks: computing, files of users, and a small server."""
