"""Probes of a study's steps."""
