"""The benchmark of irp against what people use instead. Start it with `python3 bench/run.py`."""
