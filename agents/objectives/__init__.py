"""What is optimised: pure torch functions of (new, old) action distributions, actions and advantages."""

from .base import Objective, PolicyLoss
from .lco import LCO
from .mdpo import MDPO, TrustRegion
from .policy_gradient import PolicyGradient
from .ppo_clip import PPOClip
from .regularizers import Regularizer
from .spma import SPMA
from .value import value_loss

__all__ = [
    "LCO",
    "MDPO",
    "SPMA",
    "Objective",
    "PPOClip",
    "PolicyGradient",
    "PolicyLoss",
    "Regularizer",
    "TrustRegion",
    "value_loss",
]
