"""How an observation becomes an action distribution."""

from .actor_critic import ActorCriticPolicy, CnnPolicy, MlpPolicy, MultiInputPolicy
from .heads import HEADS, Head, make_head, register_head

__all__ = [
    "HEADS",
    "ActorCriticPolicy",
    "CnnPolicy",
    "Head",
    "MlpPolicy",
    "MultiInputPolicy",
    "make_head",
    "register_head",
]
