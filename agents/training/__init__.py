"""How a policy is optimised: rollouts, advantages, steps, diagnostics, checkpoints."""
