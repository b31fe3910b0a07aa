"""A fresh stream beside the live one, and the one transaction that swaps it in."""
