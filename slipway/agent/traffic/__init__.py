"""Requests: moving them between generations, and judging how they fare."""
