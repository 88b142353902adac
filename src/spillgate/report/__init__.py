"""The memory optimisation report: one document about one server, as Markdown, HTML or JSON.

``gathering`` asks the server and the history once, ``composing`` puts what came of it into the sections of a document
(``model``), ``rendering`` writes that down. Only the first of them waits for anything.
"""
