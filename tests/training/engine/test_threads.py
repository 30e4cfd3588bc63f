"""One thread for small networks, and no compiler for those who do not compile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from threadpoolctl import threadpool_info

from agents import PPO
from agents.training.engine.threads import single_thread


class Threads(BaseCallback):
    """Notes how many threads there are while training."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def _on_step(self) -> bool:
        self.seen |= {torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())}
        return True


def test_learning_has_one_thread_and_gives_the_others_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        threads = Threads()
        PPO("MlpPolicy", "CartPole-v1", n_steps=16, batch_size=16, device="cpu").learn(16, callback=threads)
        assert threads.seen == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_threads_come_back_after_an_error() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyError), single_thread():
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("engine", ["fused", "torch"])
def test_training_saving_and_loading_load_no_compiler(engine: str, tmp_path: Path) -> None:
    code = (
        "import sys, agents, envs\n"
        "env = envs.make_vec('CartPole-v1', 2, seed=0)\n"
        f"model = agents.PPO('MlpPolicy', env, n_steps=16, batch_size=16, engine={engine!r}, device='cpu')\n"
        f"model.learn(32).save({str(tmp_path / 'model.zip')!r})\n"
        f"agents.PPO.load({str(tmp_path / 'model.zip')!r}, env).learn(32)\n"
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
