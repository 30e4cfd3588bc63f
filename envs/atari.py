"""Atari games as Gymnasium's AtariPreprocessing defines them, under both kinds of id.

`ALE/Pong-v5` and `PongNoFrameskip-v4` both advance 4 frames a step here: the emulator is built with frameskip 1 and
only the preprocessing skips. (Under SB3's AtariWrapper the v5 id skips 16.) They differ in sticky actions: v5 repeats
the last action with probability 0.25 at each frame (Machado et al. 2018), NoFrameskip-v4 never does.

From the emulator outwards: 1 to 30 no-ops at the start of a game, 4 frames a step, maximum of the last two greyscale
frames, area resize to 84x84 | time limit (27 000 steps, which is half an hour of play) | recorder | stack of 4 frames
[4, 84, 84] uint8, with zeros before the first | life loss ends the episode, and nothing else: the next one begins with
the frames that this one ended with (training) | sign of the reward (training) | noise. The recorder sits inside what
training changes, so reported returns are of whole games with unclipped rewards, and lengths are steps of 4 frames,
without the no-ops. This holds for wrappers around single games, made here, and for the vector backends alike.

No FIRE at the start of a game, in line with Machado et al.: an agent learns to press it, and a greedy policy that never
does waits for the end of the game (27 000 steps). `fire_reset=True` presses it as SB3's wrapper does.

SB3's AtariWrapper differs: it takes the maximum of the two frames before the greyscale (the same frames in Breakout; in
Pong a few pixels in a thousand differ, by at most 16 grey levels; a test shows both); its channel comes last; it
presses FIRE; after a lost life it plays a step of no-ops, and VecFrameStack forgets the older frames; its Monitor sits
at the emulator, so its lengths count frames. In both, the observation of the step that ends a game is made of older
frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from gymnasium.envs.registration import EnvSpec

from . import checks

if TYPE_CHECKING:
    import gymnasium


MAX_FRAMES = 108_000  # of a game, in emulator frames without the no-ops: half an hour at 60 a second


@dataclass(frozen=True)
class AtariProtocol:
    """What a step, an episode and a reward are. ValueError for a value out of range."""

    frame_skip: int = 4  # emulator frames per step
    sticky: float = 0.0  # probability, at each frame, that the emulator repeats the last action
    noop_max: int = 30  # a game starts with 1 to noop_max no-ops
    life_loss: bool = True  # losing a life ends the training episode (the game goes on)
    clip_reward: bool = True  # training sees the sign of the reward
    full_action_space: bool = False  # all 18 actions rather than those that the game uses
    fire_reset: bool = False  # press FIRE at the start of an episode
    screen_size: int = 84
    frame_stack: int = 4
    max_episode_steps: int = 27_000  # a game is cut off after so many steps

    def __post_init__(self) -> None:
        for name in ("frame_skip", "noop_max", "screen_size", "frame_stack", "max_episode_steps"):
            checks.integer(f"atari {name}", getattr(self, name), 0 if name == "noop_max" else 1)
        checks.probability("atari sticky", self.sticky)
        for field in fields(self):
            if field.type == "bool" and not isinstance(getattr(self, field.name), bool):
                raise ValueError(f"atari {field.name}={getattr(self, field.name)!r}: must be True or False")


def is_atari(spec: EnvSpec) -> bool:
    """Whether the id is one of ale_py's."""
    return str(spec.entry_point).startswith("ale_py")


def protocol(
    env_id: str,
    *,
    training: bool = True,
    sticky_actions: float = 0.0,
    frame_stack: int | None = None,
    max_episode_steps: int | None = None,
    atari: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The Atari protocol that `make_vec` uses with these arguments, to print and save; {} for other environments."""
    from .ids import resolve_id

    spec = resolve_id(env_id, allow_deprecated=True)
    if not is_atari(spec):
        return {}
    return asdict(make_protocol(spec, training, sticky_actions, frame_stack, max_episode_steps, atari))


def make_protocol(
    spec: EnvSpec,
    training: bool,
    sticky_actions: float,
    frame_stack: int | None,
    max_episode_steps: int | None,
    overrides: Mapping[str, Any] | None,
) -> AtariProtocol:
    """The id's own protocol, then the arguments, then `overrides` (fields of AtariProtocol).

    Raises:
        ValueError: a value out of range, an unknown field, or an id whose frame skip is random.
    """
    if isinstance(spec.kwargs["frameskip"], tuple):
        game = spec.id.partition("-")[0]
        raise ValueError(f"env={spec.id!r}: its frame skip is random; use 'ALE/{game}-v5' or '{game}NoFrameskip-v4'")
    overrides = overrides or {}
    checks.known_keys("atari", overrides, [field.name for field in fields(AtariProtocol)])
    frame_skip = checks.integer("atari frame_skip", overrides.get("frame_skip", AtariProtocol.frame_skip), 1)
    result = AtariProtocol(
        frame_skip=frame_skip,
        sticky=sticky_actions or spec.kwargs["repeat_action_probability"],
        life_loss=training,
        clip_reward=training,
        full_action_space=spec.kwargs["full_action_space"],
        frame_stack=frame_stack or 4,
        max_episode_steps=max_episode_steps or MAX_FRAMES // frame_skip,
    )
    return replace(result, **overrides)


def make_game(
    spec: EnvSpec, rules: AtariProtocol, env_kwargs: Mapping[str, Any], render_mode: str | None, exact: bool = False
) -> gymnasium.Env:
    """The game up to and including the stack of frames: whole episodes, unclipped rewards, recorded.

    With `exact` its state can be saved: sticky actions are kept outside the emulator.

    Raises:
        ValueError: env_kwargs sets what the protocol decides.
    """
    import gymnasium
    from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation, TimeLimit

    from .recorder import EpisodeRecorder
    from .sticky_frames import StickyFrames

    decided: dict[str, Any] = {
        "frameskip": 1,
        "repeat_action_probability": 0.0 if exact else rules.sticky,
        "full_action_space": rules.full_action_space,
        "max_num_frames_per_episode": 0,  # the emulator would count the no-ops, and leave out the last frame
        "render_mode": render_mode,
    }
    for name in sorted(decided.keys() & env_kwargs.keys()):
        raise ValueError(f"env_kwargs: {name!r} of {spec.id} is set by the protocol, use atari=... or its own argument")
    env = gymnasium.make(spec, max_episode_steps=-1, **env_kwargs, **decided)
    if exact and rules.sticky:
        env = StickyFrames(env, rules.sticky)
    env = AtariPreprocessing(env, rules.noop_max, rules.frame_skip, rules.screen_size)
    env = EpisodeRecorder(TimeLimit(env, rules.max_episode_steps))
    return FrameStackObservation(env, rules.frame_stack, padding_type="zero")


def shape_for_training(env: gymnasium.Env, rules: AtariProtocol) -> gymnasium.Env:
    """Around the game: episodes that end with a life, FIRE, rewards by sign."""
    from stable_baselines3.common.atari_wrappers import ClipRewardEnv, FireResetEnv

    from .life import EpisodicLife

    if rules.life_loss:
        env = EpisodicLife(env)
    if rules.fire_reset and "FIRE" in env.unwrapped.get_action_meanings():  # type: ignore[attr-defined]
        env = FireResetEnv(env)
    return ClipRewardEnv(env) if rules.clip_reward else env
