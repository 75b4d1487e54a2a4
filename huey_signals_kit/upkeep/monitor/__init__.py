"""Reads of a queue that is watched for long, for ``top``, the web page and ``export``."""
