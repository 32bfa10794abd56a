"""Measures modelfetch beside the programs that people use today, on loopback hubs. `python -m bench` runs the table.

Nothing here is a test: a promise is judged and told, and the exit status does not depend on it.
"""
