"""Unread results, which no caller has fetched: the purge that deletes them.

`purge` decides what is deleted, `rows` holds the results that a purge works on, in 36 bytes each.
"""
