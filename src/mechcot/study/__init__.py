"""What lies in a study's folder; readable without torch."""

from mechcot.study.folder import Study

__all__ = ["Study"]
