"""Tests of Spillgate; a package only so that `tests.servers` means this folder."""
