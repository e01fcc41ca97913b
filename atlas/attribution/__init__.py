"""Attribute a class's score or a unit's activation to pixels or positions."""
