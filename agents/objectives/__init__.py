"""What is optimised: pure torch functions of (new, old) action distributions, actions and advantages."""

from .base import Objective, PolicyLoss
from .ppo_clip import PPOClip
from .regularizers import Regularizer
from .spma import SPMA
from .value import value_loss

__all__ = ["SPMA", "Objective", "PPOClip", "PolicyLoss", "Regularizer", "value_loss"]
