"""A TensorBoard dashboard that reads itself: the custom-scalar layout and the hyperparameters of each run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stable_baselines3.common.logger import HParam, TensorBoardOutputFormat

if TYPE_CHECKING:
    from .algorithm import Algorithm

LAYOUT: dict[str, dict[str, tuple[str, list[str]]]] = {
    "Return": {
        "training return": ("Multiline", ["rollout/ep_rew_mean"]),
        "evaluation return": ("Multiline", ["eval/mean_reward"]),
        "episode length": ("Multiline", ["rollout/ep_len_mean", "eval/mean_ep_length"]),
    },
    "Policy": {
        "KL from and to the old policy": ("Multiline", ["train/approx_kl", "train/kl_new_old", "train/kl"]),
        "entropy [nats]": ("Multiline", ["train/entropy"]),
        "divergence from the reference": ("Multiline", ["train/divergence", "train/head_divergence"]),
        "smallest probability": ("Multiline", ["train/min_prob"]),
        "support size": ("Multiline", ["train/support_size"]),
        "standard deviation or scale": ("Multiline", ["train/std", "train/scale"]),
    },
    "Optimisation": {
        "gradient norm before clipping": ("Multiline", ["train/grad_norm"]),
        "losses": ("Multiline", ["train/loss", "train/policy_gradient_loss", "train/value_loss"]),
        "clipped or negative share": (
            "Multiline",
            ["train/clip_fraction", "train/negative_target", "train/negative_share", "train/negative_curvature"],
        ),
        "step sizes": ("Multiline", ["train/learning_rate", "train/eta", "train/beta", "train/clip_range"]),
        "logit norm": ("Multiline", ["train/logit_norm"]),
        "explained variance": ("Multiline", ["train/explained_variance"]),
    },
}
METRICS = ("rollout/ep_rew_mean", "eval/mean_reward", "train/entropy", "train/approx_kl")


def describe_run(model: Algorithm) -> None:
    """Write the layout and the hyperparameters once per `learn`, if the logger writes to TensorBoard."""
    writers = [f.writer for f in model.logger.output_formats if isinstance(f, TensorBoardOutputFormat)]
    # TensorBoard reads tags as regular expressions: without the end, train/entropy would show train/entropy_loss too.
    charts = {
        group: {title: [kind, [f"{tag}$" for tag in tags]] for title, (kind, tags) in titles.items()}
        for group, titles in LAYOUT.items()
    }
    for writer in writers:
        writer.add_custom_scalars(charts)
    if writers:
        hparams = HParam(_hyperparameters(model), dict.fromkeys(METRICS, 0.0))
        model.logger.record("hparams", hparams, exclude=("stdout", "log", "json", "csv"))


def _hyperparameters(model: Algorithm) -> dict[str, bool | str | float | int | None]:
    """Constructor arguments as the hparams plugin takes them: scalars as they are, the rest as text."""
    skip = {"policy", "env", "tensorboard_log", "verbose", "use_sde"}
    values = {name: getattr(model, name) for name in model.argument_names() if name not in skip}
    values |= {"algorithm": type(model).__name__, "head": model.policy.head.name, "n_envs": model.n_envs}
    return {name: value if isinstance(value, bool | int | float) else str(value) for name, value in values.items()}
