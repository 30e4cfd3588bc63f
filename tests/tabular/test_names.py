"""The public names: all there, loaded on first use."""

from __future__ import annotations

import subprocess
import sys

import pytest

import agents.tabular as tabular


@pytest.mark.parametrize("name", tabular.__all__)
def test_every_name_loads(name):
    assert getattr(tabular, name).__doc__


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="has no attribute 'spam'"):
        tabular.__getattr__("spam")


def test_the_package_is_free_until_it_is_used_and_never_loads_sb3():
    code = """
import sys
import agents.tabular as tabular
assert not {"torch", "scipy"} & set(sys.modules)
for name in tabular.__all__:
    getattr(tabular, name)
assert not {"stable_baselines3", "gymnasium", "envs"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
