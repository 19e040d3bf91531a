"""A folder for each question of the report: its numbers, and the page that shows them."""
