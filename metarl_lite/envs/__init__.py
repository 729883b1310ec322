"""Environments: numpy, many copies in lockstep, each with its task distribution.

Importing this package registers the Gymnasium ids, each as a single environment (`gymnasium.make`)
and as a vector environment (`gymnasium.make_vec(..., vectorization_mode="vector_entry_point")`).
"""

import gymnasium as gym

for _name, _maker in (
    ("GridWorld", "gridworld:make"),
    ("GridNav", "gridnav:make"),
    ("CartPole", "cartpole:make"),
    ("BernoulliBandit", "bandits:make"),
    ("GaussianBandit", "bandits:make_gaussian"),
    ("FlappyBird", "flappy_game:make"),
):
    gym.register(
        id=f"metarl_lite/{_name}-v0",
        entry_point=f"metarl_lite.envs.{_maker}_single",
        vector_entry_point=f"metarl_lite.envs.{_maker}_vector",
    )
