#!/usr/bin/env python3
"""Evaluate a trained agent: `python evaluate.py --algo ppo --env CartPole-v1`; `--help` shows the flags."""

import sys

from experiment.cli import evaluate_main

if __name__ == "__main__":
    sys.exit(evaluate_main())
