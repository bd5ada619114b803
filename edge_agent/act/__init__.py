"""What the agent does: apply actions outwards, confirm their effect, roll back what did not help."""
