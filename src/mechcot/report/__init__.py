"""What every page is made of, and the page of a study; it is handed sections and knows no analysis."""
