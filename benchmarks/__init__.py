"""Where this package stands: measured, with the commands that measured it."""
