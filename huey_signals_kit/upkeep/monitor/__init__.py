"""Repeated reads of a queue, for ``top``, the web interface, ``export`` and ``health``."""
