"""``spillgate top``: one server, live, only looked at.

``looking`` reads the server, and ``remote`` a governor that does so already; both make the document that ``seen``
reads. ``looks`` asks them in a thread, ``watched`` remembers what they said, ``keys`` says what a key changes. ``view``
is everything that can be shown; ``screen``, ``body`` and ``table`` draw it, and ``faces`` show it on a terminal, in a
pipe or to a program. ``terminal`` borrows the terminal and gives it back. ``command`` is all of that together.
"""
