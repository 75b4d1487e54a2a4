"""Write the reference page: ``python -m tests.reference``."""

from tests.reference.page import PAGE, render

PAGE.write_text(render())
