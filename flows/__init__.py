"""Prefect flows: order, retries, gates, schedules. No torch, no arithmetic."""
