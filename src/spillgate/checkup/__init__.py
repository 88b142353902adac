"""Examining a server: once, as ``spillgate doctor`` does, or now and then beside a governor while all is calm."""

from spillgate.checkup.checkup import Checkup, Library
from spillgate.checkup.examination import Examination, document, examine

__all__ = ["Checkup", "Examination", "Library", "document", "examine"]
