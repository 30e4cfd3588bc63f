#!/usr/bin/env python3
"""Train an agent: `python train.py --algo ppo --env CartPole-v1`; `--help` shows the flags."""

import sys

from experiment.cli import train_main

if __name__ == "__main__":
    sys.exit(train_main())
