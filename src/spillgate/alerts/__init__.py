"""Telling people what a governor sees and what becomes of it.

`conditions` says what is the case, `engine` what of that is news, `words` how it reads, `delivery` brings it to whoever
wants to know. The first three are pure. `alerts` drives them beside a governor.
"""
