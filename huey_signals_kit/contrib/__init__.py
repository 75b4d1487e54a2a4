"""Parts for other frameworks; each needs the package of the framework."""
