"""What Spillgate reaches, beside the servers' own policies and beside other libraries: ``python -m bench``.

``flood`` is a 25 MB server in floods, ``idle`` the cost of a governor with nothing to do, ``census`` and ``sweep`` a
million keys, ``values`` what real values take in memory, ``cache`` the cache library at work. Each prints what it
measured and judges it against its goals; README.md tells how to read that.
"""
