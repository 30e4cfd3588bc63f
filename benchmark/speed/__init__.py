"""Speed, measured side by side: heads, environment stepping, training."""
