"""The sections of a report: each makes one part of the document from what was gathered. Pure."""
