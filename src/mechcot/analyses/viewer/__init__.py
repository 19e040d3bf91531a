"""All traces of a study, to look at: as a local page, as a folder of files, in a notebook."""
