"""What Spillgate reaches, beside the servers' own policies, measured in one run: ``python -m bench``.

``flood`` is a 25 MB server in floods, ``idle`` the cost of a governor with nothing to do, ``sweep`` a million keys.
Each prints what it measured and judges it against its goals; README.md tells how to read that.
"""
