"""Every public entry point refuses bad input with a ValueError that names the value.

`CALLS` holds one valid call for each, `BAD` what replaces one of its arguments. A new public
function or class of one of `MODULES` belongs in `CALLS`, or in `RESULTS` where readers receive it.
"""

import inspect
import re

import gymnasium as gym
import numpy as np
import pytest
import torch

from metarl_lite import convnets, evaluate, film, nets, returns, rollout, trials
from metarl_lite.algorithms import (
    dagger,
    dqn,
    few_shot,
    learned_optimizer,
    maml,
    meta_dqn,
    meta_training,
    optimizers,
    policy_gradient,
    ppo,
    q_learning,
    reptile,
    rl2,
)
from metarl_lite.data import characters, glyphs, omniglot, sinusoid, xor
from metarl_lite.envs import (
    bandits,
    cartpole,
    flappy,
    flappy_game,
    flappy_tasks,
    gridnav,
    gridworld,
    mdp,
    single,
    tabular,
)
from metarl_lite.oracles import bandits as agents
from metarl_lite.oracles import bayes_optimal, gittins, planning, sinusoids, tabular_returns
from metarl_lite.oracles import gridnav as search
from metarl_lite.oracles import policy_gradient as exact_gradient

NAN, INF = float("nan"), float("inf")
MODULES = (
    *(agents, bayes_optimal, gittins, search),
    *(trials, rl2, dagger, film),
    *(policy_gradient, exact_gradient),
    *(mdp, tabular, gridworld, gridnav, single, cartpole, bandits),
    *(flappy_tasks, flappy, flappy_game),
    *(nets, returns, rollout, planning, q_learning, dqn, ppo, evaluate),
    *(sinusoid, sinusoids, maml, reptile, xor),
    *(optimizers, learned_optimizer, meta_training, meta_dqn, tabular_returns),
    *(characters, omniglot, glyphs, convnets, few_shot),
)
RESULTS = {
    *(maml.MAMLResult, maml.adapt, maml.meta_loss),  # run under vmap, with a MAMLConfig's numbers
    reptile.ReptileResult,
    # Run under vmap or at every update, on what sample_episodes() drew:
    *(characters.labels, characters.nearest, few_shot.embed),
    *(convnets.conv_features, convnets.conv_logits, convnets.batch_norm),
    *(few_shot.loss, few_shot.adapt_head, few_shot.accuracies),
    # Of what stands on the disk or comes from the network; tested in test_omniglot:
    *(omniglot.Unavailable, omniglot.is_available, omniglot.load, omniglot.load_runs),
    omniglot.archive,
    *(glyphs.is_available, glyphs.load_runs),  # take no argument
    gridworld.GridWorld,  # made by gridworld()
    planning.Solution,
    q_learning.QLearningResult,
    dqn.Snapshot,
    dqn.DQNResult,
    flappy.Scene,  # made by scene()
    flappy_tasks.told,  # of FlappyTasks and names, which are checked
    flappy_tasks.told_limits,  # what VectorFlappyBird asks first
    agents.Played,  # made by play()
    agents.uniform,
    agents.thompson,  # agents read the counts that play() keeps
    agents.index_policy,
    agents.two_armed_optimum,
    rollout.Transitions,
    rollout.step,  # the environment refuses bad actions; tested in test_rollout
    # Run at every update, on what the buffer has checked and with a DQNConfig's numbers:
    dqn.td_targets,
    policy_gradient.advantages,  # on what learn() has collected, with its config's numbers
    policy_gradient.policy_loss,
    policy_gradient.critic_loss,
    policy_gradient.Snapshot,
    dqn.dqn_loss,
    rollout.greedy_policy,  # of a network that learn() made
    rollout.flat_sizes,  # what learn() asks first: its environments are refused here
    # Elementwise, at every update, on tensors of one shape that ppo_loss and log_prob insist on:
    nets.sample_categorical,
    nets.entropy,
    ppo.clipped_surrogate,
    ppo.approx_kl,
    ppo.normalised,
    ppo.samples_of,
    ppo.Samples,
    ppo.Snapshot,
    rollout.collect,  # rollout() without its reset
    trials.Trials,  # made by play()
    trials.episode_returns,
    trials.encode,  # at every step, on what the environment and play() hand it
    rl2.RL2Result,
    *(optimizers.Problem, optimizers.Optimizer, learned_optimizer.Memory),
    *(meta_training.MetaResult, tabular_returns.Yardstick),
    # Run at every update, on what a Problem holds, an Experience drew or a MetaConfig has checked:
    *(learned_optimizer.preprocess, meta_training.unroll, meta_dqn.q_values),
    *(meta_dqn.td_loss, meta_dqn.td_gradient),
    # Run at every update, on what play() made and with an RL2Config's numbers:
    rl2.advantages,
    rl2.trials_loss,
    # Likewise, with a DaggerConfig's numbers:
    *(dagger.DaggerResult, dagger.imitation_loss, dagger.sequences),
    evaluate.Claim,  # made by claim()
    evaluate.chapter_seed,  # takes no argument; tested in test_evaluate
    tabular.make_random_mdp_env,  # TabularEnv under the name the task family needs
}
SAYS = {  # what a message calls an argument that has another name there
    "agent": "scores",
    "env": "observations|actions|autoreset_mode",
    "mdps": "MDP",
    "num_seeds": "num_seeds|seeds",
    "sizes": "sizes|in_features|out_features",
    "start_policy": "policy",
    "start_value": "values",
    "text": "map",
    "v": "values",
    "weight_gamma": "gamma",
}
CHAIN = mdp.MDP(np.array([[[0.5, 0.5]], [[0.0, 1.0]]]), np.array([[1.0], [0.0]]), 0.9)
RNG = np.random.default_rng(0)
LETTERS = characters.Characters(torch.zeros(3, 2, 28, 28), np.array(["A", "A", "B"]))
COUNTED = {"pulls": np.array([[1, 0]]), "totals": np.array([[1.0, 0.0]]), "rng": RNG}
COUNTS = [0, -1, 1.5, NAN, True, "3", None]
COLUMN = torch.zeros(4, 2)
FLAGS = torch.zeros(4, 2, dtype=torch.bool)
NO_COLUMN = [torch.zeros(3, 2), torch.zeros(4, 2, dtype=torch.int64)]
SEGMENT = {
    "reward": COLUMN,
    "next_value": COLUMN,
    "terminated": FLAGS,
    "truncated": FLAGS,
    "gamma": 0.9,
}
LOGITS = torch.zeros(2, 1, dtype=torch.float64)
NO_LOGITS = [None, LOGITS.float(), LOGITS[0], LOGITS.numpy(), LOGITS + NAN]
GRID_TABLES = tabular.TabularEnv(gridnav.as_mdps(np.array([[2, 3]])))
BOWL = optimizers.Problem(
    torch.ones(1, 2),
    torch.zeros(2, dtype=torch.int64),
    lambda theta: (theta, theta.sum(dim=1)),
    lambda theta: theta.sum(dim=1),
)
SMALL_DQN = dqn.DQNConfig(total_steps=4, hidden=(2,), learning_starts=2, updates_per_step=1)
GRID = gridnav.make_vector(2)
GRID_NET = rl2.make_net(GRID, hidden_size=4, seed=0)
SMALL_RL2 = rl2.RL2Config(iterations=1, num_tasks=2, num_minibatches=1)
BIRDS = {
    "net": rl2.make_net(flappy.VectorFlappyBird(), hidden_size=4, seed=0),
    "teacher": lambda inputs, tasks: torch.zeros(*inputs.shape[:2], 2),
    "family": flappy.FAMILY,
    "config": dagger.DaggerConfig(iterations=1, num_tasks=2, num_steps=2, unroll=2),
    "seed": 0,
}
CONTINUOUS = gridnav.make_vector(1)
CONTINUOUS.single_action_space = gym.spaces.Box(-1.0, 1.0)
NO_NUMBERS = gridnav.make_vector(1)
NO_NUMBERS.single_observation_space = gym.spaces.Dict({"cell": gym.spaces.Discrete(2)})
POSITIVE, NOT_NEGATIVE = [0.0, -1.0, NAN, INF, "a"], [-0.1, NAN, INF, "a"]  # what is neither
BAD_RATES = [-1.0, NAN, INF, "a"]
SHARES = [-0.1, 1.1, NAN, "a"]  # of what must lie in [0, 1]
VALUES = [np.ones(3), np.ones((2, 1)), [NAN, 0.0], [1j, 0.0], ["a", "b"]]
NO_MDPS = ["mdp", None, np.ones((2, 1, 2))]
POLICIES = [[0, 1], [0, -1], [0.5, 0.5], [[0.5], [1.0]], [[NAN], [1.0]], [0], ["a", "b"]]

NO_RANGE = [(1.0, 1.0), (2.0, 1.0), (NAN, 1.0), (0.0, 1.0, 2.0), "ab"]
SINE = sinusoid.Sinusoids([1.0], [0.0])
LEARN_LINE = {
    "loss": lambda params, data: (params["w"] - data).square().mean(),
    "params": {"w": torch.zeros(1)},
    "support": torch.zeros(2, 4),
    "query": torch.zeros(2, 4),
}
META_LEARN = {
    "loss": LEARN_LINE["loss"],
    "params": {"w": torch.zeros(2, 1)},
    "sample_batch": lambda rng, num_tasks: torch.zeros(2, num_tasks, 4),
    "config": maml.MAMLConfig(iterations=1),
    "seed": 0,
}
CALLS = {
    mdp.MDP: {"P": CHAIN.P, "R": CHAIN.R, "gamma": 0.9, "start": [1.0, 0.0]},
    mdp.sample_tasks: {"rng": RNG, "num_tasks": 2, "num_states": 3, "num_actions": 2, "gamma": 0.9},
    tabular.TabularEnv: {"mdps": [CHAIN] * 2, "horizon": 5, "reward_noise": 0.1},
    gridworld.gridworld: {"text": "S.G"},
    gridworld.make_vector: {"num_envs": 2, "text": "S.G", "slip": 0.1, "horizon": 5},
    gridworld.make_single: {"horizon": 5},
    gridnav.sample_goals: {"rng": RNG, "num_tasks": 2, "size": 5},
    gridnav.GridNav: {"goals": np.array([[2, 3]]), "size": 5, "horizon": 15},
    gridnav.make_vector: {"num_envs": 2, "size": 5, "horizon": 15},
    gridnav.make_single: {"size": 5, "horizon": 15},
    gridnav.as_mdps: {"goals": np.array([[2, 3]]), "size": 5, "gamma": 0.9},
    single.SingleEnv: {"vector_env": gridnav.make_vector(1)},
    cartpole.CartPoleTasks: {"gravity": 9.8, "mass_cart": [1.0, 2.0], "length": 0.5},
    cartpole.sample_tasks: {"rng": RNG, "num_tasks": 2, "spread": 1.5},
    cartpole.VectorCartPole: {"tasks": cartpole.STANDARD, "horizon": 5},
    cartpole.make_vector: {"num_envs": 2, "spread": 1.5, "horizon": 5},
    cartpole.make_single: {"horizon": 5},
    flappy_tasks.FlappyTasks: {"gravity": 0.4, "gap": [120.0, 130.0], "latency": [0, 3]},
    flappy_tasks.sample_tasks: {"rng": RNG, "num_tasks": 2, "split": "shifted"},
    flappy.VectorFlappyBird: {"tasks": flappy_tasks.STANDARD, "frame_skip": 1, "max_pipes": 5},
    flappy_game.FlappyBird: {"vector_env": flappy.VectorFlappyBird(), "render_mode": "rgb_array"},
    flappy_game.make_vector: {"num_envs": 2, "split": "training"},
    flappy_game.make_single: {"render_mode": None},
    bandits.sample_tasks: {"rng": RNG, "num_tasks": 2, "num_arms": 3},
    bandits.sample_means: {"rng": RNG, "num_tasks": 2, "num_arms": 3},
    bandits.BernoulliBandits: {"probabilities": [[0.1, 1.0]], "horizon": 5},
    bandits.GaussianBandits: {"means": [[-3.0, 1.0]], "horizon": 5, "std": 2.0},
    bandits.make_vector: {"num_envs": 2, "num_arms": 3, "horizon": 5},
    bandits.make_single: {"num_arms": 3, "horizon": 5},
    bandits.make_gaussian_vector: {"num_envs": 2, "num_arms": 3, "horizon": 5},
    bandits.make_gaussian_single: {"num_arms": 3, "horizon": 5},
    agents.play: {"agent": agents.uniform, "env": bandits.make_vector(2, horizon=3), "seed": 0},
    agents.best_arms: {"scores": [[0.0, 1.0]], "rng": RNG},
    agents.greedy: COUNTED | {"prior": (1.0, 0.0)},
    agents.epsilon_greedy: COUNTED | {"epsilon": 0.5},
    agents.ucb1: COUNTED | {"width": 1.0},
    agents.cumulative_regret: {"means": [[0.1, 0.2]], "arms": [[0, 1, 1]]},
    agents.lai_robbins_constant: {"probabilities": [[0.1, 0.2]]},
    bayes_optimal.bayes_optimal_q: {"horizon": 2},
    bayes_optimal.bayes_optimal_value: {"num_arms": 2, "horizon": 2},
    bayes_optimal.two_armed_value: {"agent": agents.greedy, "horizon": 2},
    gittins.gittins_index: {
        "successes": [0, 1],
        "failures": [2, 0],
        "gamma": 0.9,
        "depth": 5,
        "halvings": 5,
    },
    gittins.finite_horizon_gittins: {"horizon": 2, "num_prices": 8},
    nets.StackedLinear: {"num_copies": 2, "in_features": 3, "out_features": 1},
    nets.stacked_mlp: {"sizes": (3, 2), "num_copies": 2},
    nets.mlp_params: {"sizes": (3, 2), "num_copies": 2, "std": 0.1},
    nets.mlp: {"params": {"w": torch.ones(3, 2), "b": torch.ones(2)}, "x": torch.ones(4, 3)},
    nets.num_copies: {"params": {"w": torch.ones(3, 2), "b": torch.ones(3)}},
    nets.log_prob: {"logits": torch.zeros(4, 2), "action": torch.zeros(4, dtype=torch.int64)},
    returns.discounted_returns: SEGMENT,
    returns.n_step_returns: SEGMENT | {"num_steps": 2},
    returns.gae: SEGMENT | {"value": COLUMN, "gae_lambda": 0.9},
    rollout.rollout: {
        "env": cartpole.VectorCartPole(),
        "policy": lambda obs: torch.zeros(1, dtype=torch.long),
        "num_steps": 2,
        "seed": 0,
    },
    rollout.ReplayBuffer: {"num_seeds": 2, "capacity": 5, "obs_dim": 3},
    planning.follow: {"mdp": CHAIN, "policy": [0, 0]},
    planning.evaluate_policy: {"mdp": CHAIN, "policy": [0, 0]},
    planning.evaluate_policy_iteratively: {
        "mdp": CHAIN,
        "policy": [0, 0],
        "num_sweeps": 2,
        "start_value": [0.0, 0.0],
    },
    planning.q_from_v: {"mdp": CHAIN, "v": [0.0, 0.0]},
    planning.greedy: {"q": [[0.0, 1.0]]},
    planning.value_iteration: {
        "mdp": CHAIN,
        "tolerance": 1e-3,
        "start_value": [0.0, 0.0],
        "max_sweeps": 1_000,
    },
    planning.policy_iteration: {"mdp": CHAIN, "start_policy": [0, 0]},
    sinusoid.Sinusoids: {"amplitude": [1.0], "phase": [0.0]},
    sinusoid.sample_tasks: {"rng": RNG, "num_tasks": 2},
    characters.Characters: {"images": LETTERS.images, "alphabets": LETTERS.alphabets},
    characters.with_symmetries: {"characters": LETTERS, "mirrors": False},
    characters.sample_episodes: {"rng": RNG, "characters": LETTERS, "num_tasks": 2}
    | {"way": 2, "shots": 1, "queries": 1},
    characters.jitter: {"rng": RNG, "images": LETTERS.images}
    | {"turn": 0.1, "scale": 0.1, "shift": 1.0},
    glyphs.load: {},
    glyphs.draw_alphabet: {"rng": RNG, "num_characters": 2, "num_drawings": 2},
    convnets.conv_params: {"way": 2, "filters": 2, "num_copies": 1},
    few_shot.EmbeddingConfig: {},
    few_shot.train_embedding: {"characters": LETTERS, "seed": 0}
    | {"config": few_shot.EmbeddingConfig(filters=2, batch_size=2, iterations=1)},
    sinusoid.sample_points: {"rng": RNG, "tasks": SINE, "num_points": 3},
    sinusoids.joint_optimum: {"x": 0.0},
    maml.MAMLConfig: {},
    maml.top_curvature: {
        "loss": LEARN_LINE["loss"],
        "params": {"w": torch.zeros(1)},
        "data": torch.ones(4),
        "num_iterations": 2,
    },
    xor.sample_tasks: {"rng": RNG, "num_tasks": 2, "functions": [1, 2]},
    xor.sample_points: {"rng": RNG, "tables": [[0, 1, 1, 0]], "num_points": 3, "noise": 0.1},
    maml.adaptation_losses: LEARN_LINE | {"inner_lr": 0.1, "num_steps": 2},
    maml.train: META_LEARN,
    maml.learn: META_LEARN | {"snapshot_every": 1},
    maml.mlp_losses: {
        "params": nets.mlp_params((1, 1), num_copies=2),
        "support": torch.zeros(2, 3, 4, 2),
        "query": torch.zeros(2, 3, 4, 2),
        "config": maml.MAMLConfig(),
    },
    reptile.ReptileConfig: {},
    reptile.adapt: {
        "loss": LEARN_LINE["loss"],
        "params": {"w": torch.zeros(1)},
        "minibatches": torch.zeros(2, 4),
        "config": reptile.ReptileConfig(inner_steps=2),
    },
    reptile.train: {
        "loss": LEARN_LINE["loss"],
        "params": {"w": torch.zeros(2, 1)},
        "sample_batch": lambda rng, num_tasks: torch.zeros(num_tasks, 5, 4),
        "config": reptile.ReptileConfig(iterations=1),
        "seed": 0,
    },
    q_learning.QLearningConfig: {"num_steps": 10},
    q_learning.q_learning: {
        "env": tabular.TabularEnv([CHAIN]),
        "config": q_learning.QLearningConfig(num_steps=10),
        "seed": 0,
    },
    dqn.DQNConfig: {},
    dqn.learn: {
        "env": cartpole.make_vector(2),
        "config": SMALL_DQN,
        "seed": 0,
        "num_seeds": 2,
        "snapshot_every": 2,
    },
    dqn.train: {
        "env": cartpole.make_vector(2),
        "config": SMALL_DQN,
        "evaluate": lambda net, step: np.zeros(2),
        "seed": 0,
        "num_seeds": 2,
        "snapshot_every": 2,
    },
    ppo.PPOConfig: {},
    ppo.learn: {
        "env": cartpole.make_vector(2),
        "config": ppo.PPOConfig(total_steps=8, num_steps=4, num_minibatches=2, hidden=(2,)),
        "seed": 0,
        "num_seeds": 2,
        "snapshot_every": 4,
    },
    ppo.ppo_loss: dict.fromkeys(
        ("log_prob", "old_log_prob", "advantage", "value", "return_", "entropy"), COLUMN
    )
    | {"clip_coef": 0.2, "value_coef": 0.5, "entropy_coef": 0.0},
    policy_gradient.PolicyGradientConfig: {},
    policy_gradient.learn: {
        "env": cartpole.make_vector(2),
        "config": policy_gradient.PolicyGradientConfig(num_updates=1, num_steps=2, hidden=(2,)),
        "seed": 0,
        "num_seeds": 2,
        "snapshot_every": 1,
    },
    exact_gradient.values: {"mdp": CHAIN, "logits": LOGITS, "num_steps": 2},
    exact_gradient.action_values: {"mdp": CHAIN, "logits": LOGITS},
    exact_gradient.occupancy: {"mdp": CHAIN, "logits": LOGITS, "gamma": 1.0},
    exact_gradient.gradient: {"mdp": CHAIN, "logits": LOGITS, "num_steps": 2},
    exact_gradient.theorem: {"mdp": CHAIN, "logits": LOGITS, "weight_gamma": 1.0},
    search.goal_cells: {"size": 3},
    search.search_returns: {"walk": np.zeros((4, 2)), "size": 3, "horizon": 2, "num_episodes": 2},
    search.bayes_optimal_walk: {"size": 3, "horizon": 2, "num_episodes": 1},
    nets.RecurrentActorCritic: {"input_size": 3, "num_actions": 2, "input_scale": 2.0},
    nets.EquivariantActorCritic: {"num_arms": 2, "hidden_size": 4},
    trials.input_size: {"env": GRID},
    trials.num_actions: {"env": GRID},
    trials.play: {"net": GRID_NET, "env": GRID, "num_episodes": 1, "generator": torch.Generator()},
    film.bird_film: {"games": {"a bird": [flappy.Scene(9.0, 0.0, 9.0, (), 99.0, 0.0, 0, False)]}},
    trials.returns_by_episode: {
        "trials": trials.play(GRID_NET, GRID, generator=torch.Generator()),
        "num_episodes": 1,
    },
    **{make: {"lr": 0.1} for make in (optimizers.sgd, optimizers.momentum)},
    **{make: {"lr": 0.1} for make in (optimizers.rmsprop, optimizers.adam)},
    optimizers.follow: {
        "optimizer": optimizers.sgd(0.1),
        "problem": BOWL,
        "num_updates": 2,
        "score_every": 1,
    },
    learned_optimizer.OptimizerConfig: {},
    learned_optimizer.initial_weights: {"seed": 0},
    learned_optimizer.learned: {"weights": learned_optimizer.initial_weights(seed=0)},
    meta_training.MetaConfig: {},
    **{
        make: {
            "weights": learned_optimizer.initial_weights(seed=0),
            "make_problem": lambda seed: BOWL,
            "config": meta_training.MetaConfig(1, 1, 1, score_every=1),
            "seed": 0,
        }
        for make in (meta_training.evolve, meta_training.backpropagate)
    },
    meta_dqn.AgentConfig: {},
    **{
        make: {
            "env": cartpole.VectorCartPole(cartpole.STANDARD.repeat(16)),
            "config": meta_dqn.AgentConfig(),
            "num_agents": 1,
            "seed": 0,
        }
        | scored
        for make, scored in (
            (meta_dqn.Experience, {}),
            (meta_dqn.dqn_problem, {"score": lambda theta: theta[:, 0]}),
        )
    },
    meta_dqn.network_sizes: {"env": GRID_TABLES, "config": meta_dqn.AgentConfig()},
    meta_dqn.updates_until: {"scores": torch.zeros(2, 1), "level": 0.0},
    tabular_returns.yardstick: {"mdps": [CHAIN]},
    tabular_returns.expected_returns: {
        "tasks": tabular_returns.yardstick([CHAIN]),
        "policy": torch.ones(1, 2, 1),
    },
    tabular_returns.share_of_optimal: {
        "tasks": tabular_returns.yardstick([CHAIN]),
        "q": torch.ones(1, 2, 1),
        "temperature": 1.0,
    },
    dagger.DaggerConfig: {},
    **dict.fromkeys((dagger.learn, dagger.train), BIRDS),
    rl2.RL2Config: {},
    rl2.make_net: {"env": GRID, "hidden_size": 4, "seed": 0},
    rl2.learn: {"net": GRID_NET, "family": gridnav.FAMILY, "config": SMALL_RL2, "seed": 0},
    rl2.train: {"net": GRID_NET, "family": gridnav.FAMILY, "config": SMALL_RL2, "seed": 0},
    evaluate.seeds: {"seed": 0, "num_seeds": 2},
    evaluate.returns_of_policy: {
        "policy": lambda obs: np.zeros(len(obs), dtype=int),
        "make_env": gridnav.make_vector,
        "num_episodes": 2,
        "seed": 0,
        "gamma": 0.9,
        "max_steps": 20,
    },
    evaluate.iqm: {"values": [1.0, 2.0]},
    evaluate.bootstrap_interval: {
        "values": [1.0, 2.0],
        "statistic": np.mean,
        "rng": RNG,
        "level": 0.9,
        "num_resamples": 5,
    },
    evaluate.claim: {"name": "a number", "value": 1.0, "at_least": 0.0},
}
BAD_SEGMENT = {
    "reward": [torch.zeros(4), torch.zeros(0, 2), torch.zeros(4, 2, dtype=torch.int64)],
    "next_value": NO_COLUMN,
    "terminated": [FLAGS[:3], COLUMN],
    "truncated": [FLAGS[:3], COLUMN],
    "gamma": SHARES,
}
BAD_LEARN = {
    "num_seeds": [*COUNTS, 3],
    "snapshot_every": COUNTS,
    "env": [tabular.TabularEnv([CHAIN] * 2), gridnav.make_vector(2)],
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
        "slip": SHARES,
        "gamma": SHARES,
        "step_reward": [NAN, INF, "a"],
        "goal_reward": [NAN, INF, None],
        "pit_reward": [NAN, "a"],
        "bump_reward": [NAN, "a"],
    },
    gridworld.make_vector: {
        "num_envs": COUNTS,
        "text": ["", "x"],
        "slip": [2.0],
        "horizon": COUNTS,
    },
    gridworld.make_single: {"horizon": COUNTS},
    gridnav.sample_goals: {"num_tasks": COUNTS, "size": [*COUNTS, 2]},
    gridnav.GridNav: {
        "goals": [[[5, 0]], [[-1, 0]], [2, 3], [[0.5, 2.0]], np.zeros((0, 2), int), "a"],
        "size": [*COUNTS, 2],
        "horizon": COUNTS,
    },
    gridnav.make_vector: {"num_envs": COUNTS, "size": [2], "horizon": COUNTS},
    gridnav.make_single: {"size": [2], "horizon": COUNTS},
    gridnav.as_mdps: {"goals": [[[5, 0]], [2, 3]], "size": [2], "gamma": [1.0, *SHARES]},
    single.SingleEnv: {"vector_env": [gridnav.make_vector(2), 3, None]},
    cartpole.CartPoleTasks: {
        "gravity": [-9.8, 0.0, NAN, INF, [[9.8]], [], "a", None],
        "mass_cart": [[1.0, NAN], [1.0, 0.0]],
        "length": [[1.0, 1.0, 1.0]],
    },
    cartpole.sample_tasks: {"num_tasks": COUNTS, "spread": [0.5, NAN, INF, "a"]},
    cartpole.VectorCartPole: {"tasks": [None, 3, [9.8]], "horizon": COUNTS},
    cartpole.make_vector: {"num_envs": COUNTS, "spread": [0.5], "horizon": COUNTS},
    cartpole.make_single: {"tasks": [None], "horizon": COUNTS},
    flappy_tasks.FlappyTasks: {
        "gravity": [-0.4, 0.0, NAN, INF, [[0.4]], [], "a", None],
        "gap": [-10.0, [120.0, NAN], [120.0, 20.0]],
        "flap": [0.0, [6.0, 6.0, 6.0]],
        "speed": [0.0],
        "spacing": [60.0],
        "wind": [NAN, 9.0],
        "latency": [-1, 31, 1.5],
        "sensor": [200.0],
    },
    flappy_tasks.sample_tasks: {"num_tasks": COUNTS, "split": ["test", None, 3]},
    flappy.VectorFlappyBird: {
        "tasks": [None, 3, [0.4]],
        "frame_skip": [*COUNTS, 11],
        "tell": [("gravity", "mass"), "gravity", (3,)],
        "max_pipes": COUNTS,
    },
    flappy_game.FlappyBird: {
        "vector_env": [flappy.VectorFlappyBird(flappy_tasks.STANDARD.repeat(2)), 3, None],
        "render_mode": ["ansi", 3],
    },
    flappy_game.make_vector: {"num_envs": COUNTS, "split": ["test"]},
    flappy_game.make_single: {"tasks": [None], "render_mode": ["ansi"]},
    bandits.sample_tasks: {"num_tasks": COUNTS, "num_arms": COUNTS},
    bandits.sample_means: {"num_tasks": COUNTS, "num_arms": COUNTS},
    bandits.BernoulliBandits: {
        "probabilities": [[[1.1]], [[-0.1]], [[NAN]], [0.5], [], [["a"]], None],
        "horizon": COUNTS,
    },
    bandits.GaussianBandits: {
        "means": [[[NAN]], [0.5], [], [["a"]], None],
        "horizon": COUNTS,
        "std": [-1.0, NAN, INF, [1.0], "a", None],
    },
    bandits.make_vector: {"num_envs": COUNTS, "num_arms": COUNTS, "horizon": COUNTS},
    bandits.make_single: {"num_arms": COUNTS, "horizon": COUNTS},
    bandits.make_gaussian_vector: {"num_envs": COUNTS, "num_arms": COUNTS, "horizon": COUNTS},
    bandits.make_gaussian_single: {"num_arms": COUNTS, "horizon": COUNTS},
    agents.play: {"agent": [lambda pulls, totals, rng: 0, lambda pulls, totals, rng: pulls * NAN]},
    agents.best_arms: {"scores": [[0.5], [[NAN, 1.0]], [[]], 1.0]},
    agents.greedy: {"prior": [(-1.0, 2.0), (0.0, 0.0), (NAN, 1.0), (INF, 1.0)]},
    agents.epsilon_greedy: {"epsilon": [-0.1, 1.1, NAN]},
    agents.ucb1: {"width": [-1.0, NAN, INF]},
    agents.cumulative_regret: {
        "means": [[0.1, 0.2], [[NAN, 0.2]], np.ones((2, 2)), "a"],
        "arms": [[0, 1], [[0, 2]], [[-1]], [[0.5]]],
    },
    agents.lai_robbins_constant: {"probabilities": [[[0.0, 0.5]], [[1.0, 0.5]], [0.5], "a"]},
    bayes_optimal.bayes_optimal_q: {"horizon": COUNTS},
    bayes_optimal.bayes_optimal_value: {"num_arms": COUNTS, "horizon": COUNTS},
    bayes_optimal.two_armed_value: {"horizon": COUNTS},
    gittins.gittins_index: {
        "successes": [[-1, 0], [0.5, 1.0], "a"],
        "failures": [[-1, 0], [0.5, 1.0]],
        "gamma": [-0.1, 1.1, NAN],
        "depth": COUNTS,
        "halvings": COUNTS,
    },
    gittins.finite_horizon_gittins: {"horizon": COUNTS, "num_prices": [*COUNTS, 1]},
    nets.StackedLinear: {"num_copies": COUNTS, "in_features": COUNTS, "out_features": COUNTS},
    nets.stacked_mlp: {"sizes": [(3,), (3, 0), (1.5, 2), "ab", 3, None], "num_copies": COUNTS},
    nets.num_copies: {
        "params": [{}, {"w": torch.tensor(1.0)}, {"w": torch.ones(2), "b": torch.ones(3)}]
    },
    nets.mlp_params: {"sizes": [(3,), "ab"], "num_copies": COUNTS, "std": [0.0, -1.0, NAN, INF]},
    nets.log_prob: {"action": [torch.zeros(3, dtype=torch.int64), torch.zeros(4, 1).long()]},
    returns.discounted_returns: BAD_SEGMENT,
    returns.n_step_returns: BAD_SEGMENT | {"num_steps": COUNTS},
    returns.gae: BAD_SEGMENT | {"value": NO_COLUMN, "gae_lambda": SHARES},
    rollout.rollout: {"num_steps": COUNTS},
    rollout.ReplayBuffer: {"num_seeds": COUNTS, "capacity": COUNTS, "obs_dim": COUNTS},
    planning.follow: {"mdp": NO_MDPS, "policy": POLICIES},
    planning.evaluate_policy: {"mdp": NO_MDPS, "policy": POLICIES},
    planning.evaluate_policy_iteratively: {
        "mdp": NO_MDPS,
        "policy": POLICIES,
        "num_sweeps": [-1, 1.5, NAN, True, "3", None],
        "start_value": VALUES,
    },
    planning.q_from_v: {"mdp": NO_MDPS, "v": VALUES},
    planning.greedy: {"q": [NAN, 1.0, [[NAN, 1.0]], [[]], "a", [[1], [1, 2]]]},
    planning.value_iteration: {
        "mdp": NO_MDPS,
        "tolerance": [0.0, -1.0, NAN, "a"],
        "start_value": VALUES,
        "max_sweeps": [*COUNTS, 1],
    },
    planning.policy_iteration: {"mdp": NO_MDPS, "start_policy": POLICIES},
    sinusoid.Sinusoids: {"amplitude": [[-1.0], [NAN], ["a"], 1.0], "phase": [[NAN], [0.0, 1.0]]},
    sinusoid.sample_tasks: {"num_tasks": COUNTS, "amplitude": NO_RANGE, "phase": NO_RANGE},
    characters.Characters: {
        "images": [torch.zeros(3, 2, 28), torch.zeros(3, 2, 28, 27)],
        "alphabets": [np.array(["A"]), np.array([["A", "A", "B"]])],
    },
    characters.sample_episodes: {
        "num_tasks": COUNTS,
        "way": [*COUNTS, 4],
        "shots": [*COUNTS, 2],
        "queries": [*COUNTS, 2],
    },
    characters.jitter: {"turn": [-0.1, NAN, "a"], "scale": [-0.1, [0.1]], "shift": [-1.0, INF]},
    glyphs.draw_alphabet: {"num_characters": COUNTS, "num_drawings": COUNTS},
    convnets.conv_params: {"way": COUNTS, "filters": COUNTS, "num_copies": COUNTS},
    few_shot.EmbeddingConfig: {
        "filters": COUNTS,
        "batch_size": COUNTS,
        "lr": [0.0, -1.0, NAN, INF, "a"],
        "sharpness": [-1.0, NAN, INF, "a"],
        "iterations": COUNTS,
    },
    few_shot.train_embedding: {"seed": [-1, 1.5, NAN, "3"]},
    sinusoid.sample_points: {"num_points": COUNTS},
    sinusoids.joint_optimum: {"x": [NAN, "a"], "amplitude": NO_RANGE, "phase": NO_RANGE},
    maml.MAMLConfig: {
        "inner_lr": [-0.1, NAN, INF, "a"],
        "inner_steps": [-1, 1.5, NAN, True, "3", None],
        "outer_lr": [0.0, -1.0, NAN, INF, "a"],
        "final_share": SHARES,
        "first_order": ["yes", 3, None],
        "tasks_per_batch": COUNTS,
        "iterations": COUNTS,
    },
    maml.top_curvature: {"num_iterations": COUNTS},
    xor.sample_tasks: {"num_tasks": COUNTS, "functions": [[], [16], [-1], [0.5], 3]},
    xor.sample_points: {
        "tables": [[0, 1, 1, 0], [[0, 1]], [[0, 1, 2, 0]]],
        "num_points": COUNTS,
        "noise": NOT_NEGATIVE,
    },
    maml.learn: {"snapshot_every": COUNTS, "params": [{"w": torch.zeros(())}]},
    maml.adaptation_losses: {"num_steps": [-1, 1.5, NAN, True, "3", None]},
    maml.train: {"params": [{"w": torch.zeros(())}, {"w": torch.zeros(2), "b": torch.zeros(3)}]},
    reptile.ReptileConfig: {
        "inner_lr": NOT_NEGATIVE,
        "inner_steps": COUNTS,
        "inner_optimizer": ["rmsprop", "SGD", None],
        "outer_lr": POSITIVE,
        "final_outer_lr": NOT_NEGATIVE,
        "tasks_per_batch": COUNTS,
        "iterations": COUNTS,
    },
    reptile.adapt: {"minibatches": [torch.zeros(3, 4), torch.zeros(1, 4)]},
    reptile.train: {"params": [{"w": torch.zeros(())}, {"w": torch.zeros(2), "b": torch.zeros(3)}]},
    q_learning.QLearningConfig: {
        "num_steps": [0, -1, NAN],
        "gamma": [-0.1, 1.1, NAN],
        "epsilon": [-0.1, 1.1, NAN],
        "step_size": [0.0, 1.5, NAN],
        "omega": [0.5, 1.5, NAN],
        "initial_value": [NAN, INF],
        "record_every": [0, -1],
    },
    dqn.DQNConfig: {
        "total_steps": COUNTS,
        "gamma": SHARES,
        "hidden": [(0,), (1.5,), "ab", None],
        "lr": [0.0, -1.0, NAN, INF, "a"],
        "final_lr": [-1.0, NAN, INF, "a"],
        "batch_size": COUNTS,
        "buffer_size": COUNTS,
        "learning_starts": [-1, 1.5, NAN, True, "3", None],
        "updates_per_step": COUNTS,
        "target_every": COUNTS,
        "epsilon_steps": COUNTS,
        "final_epsilon": SHARES,
        "double": ["yes", 3, None],
        "loss": ["mae", None],
    },
    dqn.learn: BAD_LEARN,
    dqn.train: BAD_LEARN | {"evaluate": [lambda net, step: np.zeros(3)]},
    ppo.PPOConfig: {
        "total_steps": COUNTS,
        "num_steps": COUNTS,
        "gamma": SHARES,
        "gae_lambda": SHARES,
        "hidden": [(0,), (1.5,), "ab", None],
        "lr": [0.0, -1.0, NAN, INF, "a"],
        "num_epochs": COUNTS,
        "num_minibatches": COUNTS,
        "clip_coef": [0.0, -0.1, NAN, INF, "a"],
        "value_coef": [-0.1, NAN, "a"],
        "entropy_coef": [-0.1, NAN, "a"],
        "normalise_advantage": ["yes", 3, None],
    },
    ppo.learn: BAD_LEARN,
    ppo.ppo_loss: {"log_prob": [torch.zeros(4), torch.zeros(4, 1)], "value": [torch.zeros(4, 1)]},
    policy_gradient.PolicyGradientConfig: {
        "num_updates": COUNTS,
        "num_steps": [-1, 1.5, NAN, True, "3", None],
        "gamma": SHARES,
        "gae_lambda": SHARES,
        "hidden": [(0,), (1.5,), "ab", None],
        "lr": [0.0, -1.0, NAN, INF, "a"],
        "critic_lr": [0.0, -1.0, NAN, INF, "a"],
        "critic_updates": [-1, 1.5, NAN, True, "3", None],
        "entropy_coef": [-1.0, NAN, INF, "a"],
    },
    policy_gradient.learn: BAD_LEARN,
    exact_gradient.values: {"mdp": NO_MDPS, "logits": NO_LOGITS, "num_steps": COUNTS[:-1]},
    exact_gradient.action_values: {"mdp": NO_MDPS, "logits": NO_LOGITS},
    exact_gradient.occupancy: {"mdp": NO_MDPS, "logits": NO_LOGITS, "gamma": SHARES},
    exact_gradient.gradient: {"mdp": NO_MDPS, "logits": NO_LOGITS, "num_steps": COUNTS[:-1]},
    exact_gradient.theorem: {"mdp": NO_MDPS, "logits": NO_LOGITS, "weight_gamma": SHARES},
    search.goal_cells: {"size": [*COUNTS, 2]},
    search.search_returns: {
        "walk": [np.zeros((3, 2)), np.zeros(4), None],
        "size": [*COUNTS, 2],
        "horizon": COUNTS,
        "num_episodes": COUNTS,
    },
    search.bayes_optimal_walk: {
        "size": [*COUNTS, 2],
        "horizon": COUNTS,
        "num_episodes": COUNTS,
    },
    nets.EquivariantActorCritic: {"num_arms": COUNTS, "hidden_size": COUNTS},
    nets.RecurrentActorCritic: {
        "input_size": COUNTS,
        "num_actions": COUNTS,
        "hidden_size": COUNTS,
        "input_scale": POSITIVE[:-1],
    },
    trials.input_size: {"env": [NO_NUMBERS]},
    trials.num_actions: {"env": [CONTINUOUS]},
    trials.play: {
        "num_episodes": COUNTS,
        "num_steps": [-1, 1.5, "3"],
        "env": [tabular.TabularEnv([CHAIN])],
    },
    trials.returns_by_episode: {"num_episodes": COUNTS},
    film.bird_film: {"games": [{}, {"a bird": []}]},
    **{make: {"lr": BAD_RATES} for make in (optimizers.sgd, optimizers.momentum)},
    **{make: {"lr": BAD_RATES} for make in (optimizers.rmsprop, optimizers.adam)},
    optimizers.follow: {"num_updates": COUNTS, "score_every": COUNTS},
    learned_optimizer.OptimizerConfig: {
        "hidden_size": COUNTS,
        "lr": [0.0, *BAD_RATES],
        "gain": [0.0, *BAD_RATES],
        "num_kinds": COUNTS,
        "adam_like": [1, None],
    },
    learned_optimizer.initial_weights: {"seed": [-1, 1.5, None]},
    learned_optimizer.learned: {"weights": [torch.zeros(3), torch.zeros(2, 3)]},
    meta_training.MetaConfig: {
        "num_problems": COUNTS,
        "num_updates": [*COUNTS, 61],
        "truncation": [*COUNTS, 7],
        "score_every": [*COUNTS, 7],
        "lr": [0.0, *BAD_RATES],
        "final_lr": BAD_RATES,
        "noise": [0.0, *BAD_RATES],
        "worst": [NAN, INF, "a"],
        "persistent": [1, None],
        "second_order": [1, None],
    },
    **{
        make: {"weights": [torch.zeros(2, 3)], "seed": [-1, 1.5, None]}
        for make in (meta_training.evolve, meta_training.backpropagate)
    },
    meta_dqn.AgentConfig: {
        "hidden": [(0,), (1.5,), "ab", None],
        "gamma": SHARES,
        "epsilon": SHARES,
        "envs_per_agent": COUNTS,
        "batch_size": COUNTS,
        "buffer_size": COUNTS,
        "first_steps": COUNTS,
    },
    **{
        make: {"env": [GRID_TABLES], "num_agents": COUNTS, "seed": [-1, 1.5, None]}
        for make in (meta_dqn.Experience, meta_dqn.dqn_problem)
    },
    meta_dqn.network_sizes: {"env": [CONTINUOUS]},
    meta_dqn.updates_until: {"level": [NAN, "a"]},
    tabular_returns.yardstick: {"mdps": [[], [3], [CHAIN, gridnav.as_mdps(np.array([[2, 3]]))[0]]]},
    tabular_returns.expected_returns: {"policy": [torch.ones(2, 1), torch.ones(1, 1, 2)]},
    tabular_returns.share_of_optimal: {"temperature": [-1.0, NAN, "a"]},
    **{
        run: {"teacher": [lambda inputs, tasks: torch.zeros(2, 2)]}
        for run in (dagger.learn, dagger.train)
    },
    dagger.DaggerConfig: {
        **dict.fromkeys(("iterations", "num_tasks", "batch_size", "num_epochs"), COUNTS),
        "num_steps": [*COUNTS, 100],
        "unroll": [*COUNTS, 3],
        "lr": POSITIVE,
        "final_lr": NOT_NEGATIVE,
        "max_grad_norm": POSITIVE,
    },
    rl2.RL2Config: {
        "iterations": COUNTS,
        "num_tasks": [*COUNTS, 9],
        "num_episodes": COUNTS,
        "num_steps": [-1, 1.5, "3"],
        "gamma": SHARES,
        "gae_lambda": SHARES,
        "lr": POSITIVE,
        "final_lr": NOT_NEGATIVE,
        "num_epochs": COUNTS,
        "num_minibatches": COUNTS,
        "clip_coef": POSITIVE,
        "value_coef": NOT_NEGATIVE,
        "entropy_coef": NOT_NEGATIVE,
        "final_entropy_coef": NOT_NEGATIVE,
    },
    rl2.make_net: {"env": [NO_NUMBERS], "hidden_size": COUNTS},
    evaluate.seeds: {"seed": [-1, 1.5, NAN, "3"], "num_seeds": COUNTS},
    evaluate.returns_of_policy: {
        "policy": [lambda obs: np.zeros(3, dtype=int)],
        "make_env": [lambda num_envs: gridnav.make_vector(3)],
        "num_episodes": COUNTS,
        "seed": [-1, 1.5],
        "gamma": [-0.1, 1.1, NAN],
        "max_steps": COUNTS,
    },
    evaluate.iqm: {"values": [[], [NAN], [1j], ["a"]]},
    evaluate.bootstrap_interval: {
        "values": [[], [1.0], 1.0, [NAN, 1.0], ["a", "b"]],
        "level": [0.0, 1.0, NAN],
        "num_resamples": COUNTS,
    },
    evaluate.claim: {"name": ["", "--"], "value": [[1.0], None, True], "at_least": ["a", None]},
}
CASES = [  # an address in a name would differ between the processes of a parallel run
    pytest.param(call, name, value, id=f"{call.__module__}.{call.__name__}-{name}={said:.30}")
    for call, arguments in BAD.items()
    for name, values in arguments.items()
    for value in values
    for said in [re.sub(r" at 0x\w+", "", repr(value))]
]


def take(result):
    """Begin a generator, which checks its arguments at its first value."""
    if inspect.isgenerator(result):
        next(result)


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
    take(call(**CALLS[call]))


@pytest.mark.parametrize(("call", "name", "value"), CASES)
def test_a_bad_value_is_refused_by_name(call, name, value):
    with pytest.raises(ValueError, match=f"{name}|{SAYS.get(name, name)}"):
        take(call(**(CALLS[call] | {name: value})))


ENVIRONMENTS = {
    "tabular": lambda: tabular.TabularEnv([CHAIN] * 2),
    "gridnav": lambda: gridnav.make_vector(2),
    "cartpole": lambda: cartpole.VectorCartPole(cartpole.STANDARD.repeat(2)),
    "bandits": lambda: bandits.make_vector(2),
    "flappy": lambda: flappy_game.make_vector(2),
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
    with pytest.raises(gym.error.ResetNeeded, match="reset"):
        ENVIRONMENTS[name]().step(np.array([0, 0]))
