"""The documentation: pages, and the program that makes the reference pages from the code."""
