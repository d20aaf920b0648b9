"""Static pages: features as one HTML file that needs no server, no script and no network."""
