"""The governor's only way to a server.

``gateway`` holds its typed operations, ``capabilities`` what a server or plan allows, ``info`` the parsing of INFO,
``tracking`` the push that cuts a pause short, ``embedded`` a Valkey of our own for demo, tests and replay. What runs
inside the server is in ``lua``, called by ``scripted``; ``pipelined`` does the same job where scripts are forbidden.
"""
