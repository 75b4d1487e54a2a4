"""The backends of the store: how each of Huey's storages is read and changed as data.

- ``memory``, ``files``, ``sql``, ``peewee``, ``redis_hash``, ``redis_keys``: Huey's own storages
- ``generic``: any other storage, by Huey's documented methods
- ``redis_kit``, ``generic_kit``: the kit's own data, where they are not kept as results are
- ``batches``; ``redis``, ``redis_scripts``, ``redis_scripting``, ``redis_commands``: shared parts

A backend for a new storage is a class with the methods of `Store`, and a `Family` in ``_open``.
"""
