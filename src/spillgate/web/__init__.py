"""What can be asked of a governor over HTTP.

``views`` turns its state into documents, without a web framework; ``app`` serves them and needs the ``web`` extra.
"""
