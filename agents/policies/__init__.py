"""How an observation becomes an action distribution."""

from .actor_critic import ActorCriticPolicy, CnnPolicy, MlpPolicy, MultiInputPolicy
from .box_heads import BinnedHead, GaussianHead
from .discrete_heads import BinaryHead, CategoricalHead, ProductHead
from .heads import HEADS, Head, make_head, register_head
from .shared import SharedMlp

__all__ = [
    "HEADS",
    "ActorCriticPolicy",
    "BinaryHead",
    "BinnedHead",
    "CategoricalHead",
    "CnnPolicy",
    "GaussianHead",
    "Head",
    "MlpPolicy",
    "MultiInputPolicy",
    "ProductHead",
    "SharedMlp",
    "make_head",
    "register_head",
]
