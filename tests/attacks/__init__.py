"""Hostile miners, each under 40 lines, played for real: HTTP, activities, workflows, a real Temporal server."""
