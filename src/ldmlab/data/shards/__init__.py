"""Tars as others wrote them: found, walked, scanned and read by byte range."""
