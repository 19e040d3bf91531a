"""The main job: which stages a study has, and what each of them does."""
