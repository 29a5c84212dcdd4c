"""Looking inside: explanations, diagrams."""
