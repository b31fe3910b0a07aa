"""The ways in: HTTP, the command line, web pages, imports and background jobs; and the settings and wiring they need.

It may know every other room; none of them knows it.
"""
