"""A Django app and its own tests, which ``manage.py test`` runs: see ``test_own_tests.py``."""
