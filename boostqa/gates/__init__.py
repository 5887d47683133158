"""Quality gates: what the tables must hold before anything is exported."""
