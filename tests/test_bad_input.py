"""Every public entry point refuses bad input with a ValueError that names the value.

`CALLS` holds one valid call for each, `BAD` what replaces one of its arguments. A new public
function or class of one of `MODULES` belongs in `CALLS`, or in `RESULTS` where readers receive it.
"""

import inspect

import gymnasium as gym
import numpy as np
import pytest

from metarl_lite import oracles
from metarl_lite.algorithms import q_learning
from metarl_lite.envs import cartpole, gridnav, gridworld, mdp, single, tabular

NAN, INF = float("nan"), float("inf")
MODULES = (mdp, tabular, gridworld, gridnav, single, cartpole, oracles, q_learning)
RESULTS = {
    gridworld.GridWorld,  # made by gridworld()
    oracles.Solution,
    oracles.greedy,  # any array with an action axis
    q_learning.QLearningResult,
    tabular.make_random_mdp_env,  # TabularEnv under the name the task family needs
}
SAYS = {  # what a message calls an argument that has another name there
    "mdps": "MDP",
    "start_policy": "policy",
    "start_value": "values",
    "text": "map",
    "v": "values",
}
CHAIN = mdp.MDP(np.array([[[0.5, 0.5]], [[0.0, 1.0]]]), np.array([[1.0], [0.0]]), 0.9)
RNG = np.random.default_rng(0)
COUNTS = [0, -1, 1.5, NAN, True, "3", None]
SHARES = [-0.1, 1.1, NAN, "a"]  # of what must lie in [0, 1]
VALUES = [np.ones(3), np.ones((2, 1)), [NAN, 0.0], [1j, 0.0], ["a", "b"]]
POLICIES = [[0, 1], [0, -1], [0.5, 0.5], [[0.5], [1.0]], [[NAN], [1.0]], [0], ["a", "b"]]

CALLS = {
    mdp.MDP: {"P": CHAIN.P, "R": CHAIN.R, "gamma": 0.9, "start": [1.0, 0.0]},
    mdp.sample_tasks: {"rng": RNG, "num_tasks": 2, "num_states": 3, "num_actions": 2, "gamma": 0.9},
    tabular.TabularEnv: {"mdps": [CHAIN] * 2, "horizon": 5, "reward_noise": 0.1},
    gridworld.gridworld: {"text": "S.G", "slip": 0.1, "gamma": 0.9, "step_reward": 0.0},
    gridworld.make_vector: {"num_envs": 2, "text": "S.G", "slip": 0.1, "horizon": 5},
    gridworld.make_single: {"horizon": 5},
    gridnav.sample_goals: {"rng": RNG, "num_tasks": 2, "size": 5},
    gridnav.GridNav: {"goals": np.array([[2, 3]]), "size": 5, "horizon": 15},
    gridnav.make_vector: {"num_envs": 2, "size": 5, "horizon": 15},
    gridnav.make_single: {"size": 5, "horizon": 15},
    single.SingleEnv: {"vector_env": gridnav.make_vector(1)},
    cartpole.CartPoleTasks: {"gravity": 9.8, "mass_cart": [1.0, 2.0], "length": 0.5},
    cartpole.sample_tasks: {"rng": RNG, "num_tasks": 2, "spread": 1.5},
    cartpole.VectorCartPole: {"tasks": cartpole.STANDARD, "horizon": 5},
    oracles.follow: {"mdp": CHAIN, "policy": [0, 0]},
    oracles.evaluate_policy: {"mdp": CHAIN, "policy": [0, 0]},
    oracles.evaluate_policy_iteratively: {
        "mdp": CHAIN,
        "policy": [0, 0],
        "num_sweeps": 2,
        "start_value": [0.0, 0.0],
    },
    oracles.q_from_v: {"mdp": CHAIN, "v": [0.0, 0.0]},
    oracles.value_iteration: {
        "mdp": CHAIN,
        "tolerance": 1e-3,
        "start_value": [0.0, 0.0],
        "max_sweeps": 1_000,
    },
    oracles.policy_iteration: {"mdp": CHAIN, "start_policy": [0, 0]},
    q_learning.QLearningConfig: {"num_steps": 10},
    q_learning.q_learning: {
        "env": tabular.TabularEnv([CHAIN]),
        "config": q_learning.QLearningConfig(num_steps=10),
        "seed": 0,
    },
}

BAD = {
    mdp.MDP: {
        "P": [np.ones((2, 1, 2)), np.ones((2, 2)), [[[NAN, 1.0]], [[0.0, 1.0]]], "P", [[1], 2]],
        "R": [np.ones(2), [[NAN], [0.0]], [["a"], ["b"]]],
        "gamma": [*SHARES, [0.9, 0.9], None],
        "start": [[0.5, 0.6], [1.0], [NAN, 1.0], [-0.5, 1.5]],
    },
    mdp.sample_tasks: {
        "num_tasks": COUNTS,
        "num_states": COUNTS,
        "num_actions": COUNTS,
        "gamma": [-0.1, 1.1, NAN],
    },
    tabular.TabularEnv: {
        "mdps": [[], [CHAIN, mdp.sample_tasks(RNG, 1)[0]]],
        "horizon": COUNTS,
        "reward_noise": [-1.0, NAN, INF],
    },
    gridworld.gridworld: {
        "text": ["", "S.X", "S.\nG", "###", 3],
        "slip": [-0.1, 1.1, NAN],
        "gamma": SHARES,
    },
    gridworld.make_vector: {"text": ["", "x"], "slip": [2.0], "horizon": COUNTS},
    gridworld.make_single: {"horizon": COUNTS},
    gridnav.sample_goals: {"num_tasks": COUNTS, "size": [*COUNTS, 2]},
    gridnav.GridNav: {
        "goals": [[[5, 0]], [[-1, 0]], [2, 3], [[0.5, 2.0]], np.zeros((0, 2), int), "a"],
        "size": [*COUNTS, 2],
        "horizon": COUNTS,
    },
    gridnav.make_vector: {"size": [2], "horizon": COUNTS},
    gridnav.make_single: {"size": [2], "horizon": COUNTS},
    single.SingleEnv: {"vector_env": [gridnav.make_vector(2)]},
    cartpole.CartPoleTasks: {
        "gravity": [-9.8, 0.0, NAN, INF, [[9.8]]],
        "mass_cart": [[1.0, NAN], [1.0, 0.0]],
        "length": [[1.0, 1.0, 1.0]],
    },
    cartpole.sample_tasks: {"num_tasks": [0, -1], "spread": [0.5, NAN, INF]},
    cartpole.VectorCartPole: {"tasks": [None, 3, [9.8]], "horizon": [0, -1, 1.5, NAN, "3"]},
    oracles.follow: {"policy": POLICIES},
    oracles.evaluate_policy: {"policy": POLICIES},
    oracles.evaluate_policy_iteratively: {
        "policy": POLICIES,
        "num_sweeps": [-1],
        "start_value": VALUES,
    },
    oracles.q_from_v: {"v": VALUES},
    oracles.value_iteration: {
        "tolerance": [0.0, -1.0, NAN],
        "start_value": VALUES,
        "max_sweeps": [0, -1, 1],
    },
    oracles.policy_iteration: {"start_policy": POLICIES},
    q_learning.QLearningConfig: {
        "num_steps": [0, -1, NAN],
        "gamma": [-0.1, 1.1, NAN],
        "epsilon": [-0.1, 1.1, NAN],
        "step_size": [0.0, 1.5, NAN],
        "omega": [0.5, 1.5, NAN],
        "initial_value": [NAN, INF],
        "record_every": [0, -1],
    },
}
CASES = [
    pytest.param(call, name, value, id=f"{call.__module__}.{call.__name__}-{name}={value!r:.30}")
    for call, arguments in BAD.items()
    for name, values in arguments.items()
    for value in values
]


def test_no_public_entry_point_is_left_out():
    public = {
        thing
        for module in MODULES
        for name, thing in vars(module).items()
        if (inspect.isfunction(thing) or inspect.isclass(thing))
        and thing.__module__ == module.__name__
        and not name.startswith("_")
    }
    assert public == set(CALLS) | RESULTS
    assert set(BAD) <= set(CALLS)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.__module__}.{call.__name__}")
def test_the_valid_call_is_accepted(call):
    call(**CALLS[call])


@pytest.mark.parametrize(("call", "name", "value"), CASES)
def test_a_bad_value_is_refused_by_name(call, name, value):
    with pytest.raises(ValueError, match=f"{name}|{SAYS.get(name, name)}"):
        call(**(CALLS[call] | {name: value}))


ENVIRONMENTS = {
    "tabular": lambda: tabular.TabularEnv([CHAIN] * 2),
    "gridnav": lambda: gridnav.make_vector(2),
    "cartpole": lambda: cartpole.VectorCartPole(cartpole.STANDARD.repeat(2)),
}


@pytest.mark.parametrize("actions", [[0], [[0, 0]], [0, 9], [0, -1], [0.5, 0.0], [NAN, 0], None, 0])
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environments_refuse_actions_they_do_not_have(name, actions):
    env = ENVIRONMENTS[name]()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="actions"):
        env.step(actions if actions is None else np.array(actions))


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environments_refuse_a_step_before_the_first_reset(name):
    with pytest.raises((ValueError, gym.error.ResetNeeded), match="reset"):
        ENVIRONMENTS[name]().step(np.array([0, 0]))
