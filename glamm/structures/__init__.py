"""Frozen types that cross folders."""
