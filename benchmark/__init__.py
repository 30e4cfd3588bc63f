"""Many runs: comparisons, speed, figures."""
