"""Prefect: the flow, its server, schedules, events and reports."""
