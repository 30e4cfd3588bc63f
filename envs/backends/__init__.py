"""The ways of stepping N environments, each an SB3 `VecEnv` that also steps by arrays."""
