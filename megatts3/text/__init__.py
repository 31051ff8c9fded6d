"""Strings to phone ids, for Chinese and English.  No torch here."""
