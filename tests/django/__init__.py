"""A Django project with the app, and Django's own tasks."""
