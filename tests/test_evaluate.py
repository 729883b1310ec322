"""Seeds, complete episodes, robust means and claims, against closed forms and planted failures."""

import json
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from IPython.core.interactiveshell import InteractiveShell
from scipy import stats

from metarl_lite import evaluate
from metarl_lite.evaluate import bootstrap_interval, chapter_seed, claim, iqm, returns_of_policy
from metarl_lite.evaluate import seeds as child_seeds

NAN, INF = float("nan"), float("inf")


class Countdown(gym.vector.VectorEnv):
    """Copy i gives reward 1 a step and ends after i + 1 steps, again and again (SAME_STEP)."""

    metadata: ClassVar = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}

    def __init__(self, num_envs):
        self.num_envs = num_envs
        self.single_action_space = gym.spaces.Discrete(2)
        self.action_space = gym.spaces.MultiDiscrete([2] * num_envs)
        self.was_closed = False

    def reset(self, *, seed=None, options=None):
        self.age = np.zeros(self.num_envs, dtype=int)
        return self.age[:, None].astype(float), {}

    def step(self, actions):
        self.age += 1
        ends = self.age > np.arange(self.num_envs)
        self.age[ends] = 0
        odd = np.arange(self.num_envs) % 2 == 1
        return self.age[:, None].astype(float), np.ones(self.num_envs), ends & odd, ends & ~odd, {}

    def close_extras(self, **kwargs):
        self.was_closed = True


def always_zero(obs):
    return np.zeros(len(obs), dtype=int)


# --- seeds


def test_the_seed_is_0_unless_the_environment_says_otherwise(monkeypatch):
    monkeypatch.delenv("METARL_SEED", raising=False)
    assert chapter_seed() == 0
    monkeypatch.setenv("METARL_SEED", "17")
    assert chapter_seed() == 17
    monkeypatch.setenv("METARL_SEED", "")  # as make exports an unset variable
    assert chapter_seed() == 0


@pytest.mark.parametrize("text", ["-1", "1.5", "seven", "1e3", "٣"])
def test_a_seed_that_is_no_whole_number_is_refused_by_name(monkeypatch, text):
    monkeypatch.setenv("METARL_SEED", text)
    with pytest.raises(ValueError, match=rf"METARL_SEED.*{text}"):
        chapter_seed()


def test_child_seeds_repeat_differ_and_extend_each_other():
    assert child_seeds(3, 20) == child_seeds(3, 20)
    assert child_seeds(3, 20)[:5] == child_seeds(3, 5)
    together = child_seeds(3, 200) + child_seeds(4, 200)
    assert len(set(together)) == 400
    assert all(type(s) is int and 0 <= s < 2**32 for s in together)


@pytest.mark.parametrize(("seed", "num_seeds"), [(-1, 2), (0, 0), (0, -3), (0.5, 2), (0, True)])
def test_child_seeds_refuse_what_is_no_count(seed, num_seeds):
    with pytest.raises(ValueError, match="whole number"):
        child_seeds(seed, num_seeds)


# --- returns of complete episodes


def test_every_copy_counts_its_first_episode_and_nothing_after_it():
    returns = returns_of_policy(always_zero, Countdown, num_episodes=5, seed=0)
    np.testing.assert_array_equal(returns, [1, 2, 3, 4, 5])


def test_discounted_returns_follow_the_geometric_series():
    returns = returns_of_policy(always_zero, Countdown, num_episodes=6, seed=0, gamma=0.9)
    np.testing.assert_allclose(returns, (1 - 0.9 ** np.arange(1, 7)) / (1 - 0.9))


def test_the_environment_is_closed_also_when_episodes_do_not_end():
    built = []

    def make_env(num_envs):
        built.append(Countdown(num_envs))
        return built[-1]

    returns_of_policy(always_zero, make_env, num_episodes=2, seed=0)
    with pytest.raises(RuntimeError, match="3 of 8 episodes did not end within 5 steps"):
        returns_of_policy(always_zero, make_env, num_episodes=8, seed=0, max_steps=5)
    assert all(env.was_closed for env in built)


def test_the_mean_on_cartpole_equals_a_plain_loop_over_single_environments():
    def lean(obs):
        return (obs[:, 2] > 0).astype(int)

    def make_env(num_envs):
        return gym.make_vec("CartPole-v1", num_envs, vectorization_mode="sync")

    env, slow = gym.make("CartPole-v1"), []
    for copy in range(4):  # Gymnasium seeds copy i with seed + i
        obs, _ = env.reset(seed=11 + copy)
        total, ended = 0.0, False
        while not ended:
            obs, reward, terminated, truncated, _ = env.step(int(lean(obs[None])[0]))
            total, ended = total + reward, terminated or truncated
        slow.append(total)
    returns = returns_of_policy(lean, make_env, num_episodes=4, seed=11)
    np.testing.assert_array_equal(returns, slow)


@pytest.mark.parametrize(
    "wrong", [{"num_episodes": 0}, {"gamma": 1.1}, {"gamma": NAN}, {"seed": -1}, {"max_steps": 0}]
)
def test_returns_refuse_bad_numbers_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        returns_of_policy(always_zero, Countdown, **({"num_episodes": 2, "seed": 0} | wrong))


def test_returns_refuse_a_policy_or_an_environment_of_the_wrong_size():
    with pytest.raises(ValueError, match=r"shape \(2,\), got \(2, 1\)"):
        returns_of_policy(lambda obs: np.zeros((2, 1)), Countdown, num_episodes=2, seed=0)
    with pytest.raises(ValueError, match="built 3"):
        returns_of_policy(always_zero, lambda n: Countdown(3), num_episodes=2, seed=0)


# --- robust means and intervals


def test_the_interquartile_mean_by_hand():
    assert iqm([0, 1, 2, 3, 4, 5, 6, 1000]) == pytest.approx((2 + 3 + 4 + 5) / 4)
    np.testing.assert_allclose(iqm([[1, 10], [2, 20], [3, 30], [99, 0]], axis=0), [2.5, 15])


@settings(deadline=None)  # a loaded machine is no counterexample
@given(arrays(float, st.integers(1, 30), elements=st.floats(-1e6, 1e6)), st.randoms())
def test_the_interquartile_mean_lies_within_the_data_and_knows_no_order(values, random):
    shuffled = values.copy()
    random.shuffle(shuffled)
    assert values.min() - 1e-6 <= iqm(values) <= values.max() + 1e-6
    assert iqm(shuffled) == pytest.approx(iqm(values), abs=1e-6)  # sums of 1e6 may cancel


def test_a_95_percent_interval_covers_the_mean_about_95_times_in_100():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        low, high = bootstrap_interval(rng.normal(size=40), np.mean, rng, num_resamples=400)
        hits += low <= 0 <= high
    # A binomial count's central 99.9 % at the nominal rate; percentile intervals of 40 values
    # cover about 94 %.
    assert stats.binom(400, 0.94).ppf(0.0005) <= hits <= stats.binom(400, 0.95).ppf(0.9995)


def test_an_interval_keeps_the_axes_after_the_seeds_and_repeats():
    values = np.random.default_rng(0).normal(size=(8, 3, 2))
    low, high = bootstrap_interval(values, iqm, np.random.default_rng(1))
    again, _ = bootstrap_interval(values, iqm, np.random.default_rng(1))
    assert low.shape == high.shape == (3, 2)
    assert (low <= iqm(values, axis=0)).all()
    assert (iqm(values, axis=0) <= high).all()
    np.testing.assert_array_equal(low, again)


def test_a_wider_level_gives_a_wider_interval():
    values = np.random.default_rng(0).normal(size=30)
    narrow = np.diff(bootstrap_interval(values, np.mean, np.random.default_rng(1), level=0.5))
    wide = np.diff(bootstrap_interval(values, np.mean, np.random.default_rng(1), level=0.99))
    assert narrow < wide


@pytest.mark.parametrize("statistic", [iqm, np.mean, np.median])
def test_equal_seeds_give_an_interval_of_width_zero_without_a_warning(statistic):
    interval = bootstrap_interval(np.full((5, 2), 500.0), statistic, np.random.default_rng(0))
    np.testing.assert_array_equal(interval, 500.0)


@pytest.mark.parametrize("values", [[1.0, NAN], [1.0, INF], [], ["a", "b"], [1.0], 3.0])
def test_an_interval_refuses_what_has_no_spread_or_is_not_finite(values):
    with pytest.raises(ValueError, match="values must"):
        bootstrap_interval(values, np.mean, np.random.default_rng(0))


@pytest.mark.parametrize("level", [0.0, 1.0, 95, NAN])
def test_an_interval_refuses_a_level_that_is_no_fraction(level):
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval([1.0, 2.0], np.mean, np.random.default_rng(0), level=level)


# --- claims


@pytest.fixture(autouse=True)
def _fresh_anchors(monkeypatch):
    monkeypatch.setattr(evaluate, "_anchors", set())


def shown(capsys, *args, **kwargs):
    assert claim(*args, **kwargs) is None
    return capsys.readouterr().out


def test_a_claim_is_one_line_with_its_bound_and_the_published_figure(capsys):
    line = shown(
        capsys,
        "DQN on CartPole-v1, mean of 100 episodes",
        493.2,
        at_least=475,
        published=500,
        source="raffin2020zoo",
    )
    assert line == (
        "✓ DQN on CartPole-v1, mean of 100 episodes: 493.2 "
        "(at least 475; published 500, raffin2020zoo)\n"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(0.5), "0.5"),
        (np.int64(12345), "12,345"),
        (1234.56, "1,235"),
        (0.000123456, "0.0001235"),
        (1.5e-9, "1.5e-09"),
        (-3.14159, "-3.142"),
        (0.0, "0"),
        (999.96, "1,000"),
        (True + 1, "2"),
    ],
)
def test_numbers_are_written_as_people_read_them(capsys, value, text):
    assert f"x: {text} (at most" in shown(capsys, "x", value, at_most=1e6)


def test_a_unit_stands_behind_every_number(capsys):
    line = shown(capsys, "training time", 12.5, at_least=0, at_most=60, unit="s")
    assert line == "✓ training time: 12.5 s (at least 0 s; at most 60 s)\n"


@pytest.mark.parametrize(
    ("value", "bounds"),
    [
        (474.99, {"at_least": 475}),
        (0.2, {"at_most": 0.1}),
        (5, {"at_least": 1, "at_most": 4}),
        (NAN, {"at_least": 0}),
        (INF, {"at_least": 0}),
    ],
)
def test_a_claim_that_does_not_hold_raises_with_the_facts_and_shows_nothing(capsys, value, bounds):
    with pytest.raises(AssertionError, match="mean return: ") as failure:
        claim("mean return", value, **bounds)
    assert str(value) in str(failure.value)  # not rounded to the bound it missed
    assert all(str(bound) in str(failure.value) for bound in bounds.values())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("kwargs", "what"),
    [
        ({"value": 1.0}, "needs a bound"),
        ({"value": np.ones(1), "at_least": 0}, "value must be one number"),
        ({"value": True, "at_least": 0}, "value must be one number"),
        ({"value": "1", "at_least": 0}, "value must be one number"),
        ({"value": None, "at_least": 0}, "value must be one number"),
        ({"value": 1.0, "at_least": "0"}, "at_least must be one number"),
        ({"value": 1.0, "at_least": 2, "at_most": 1}, "at least 2 and at most 1"),
        ({"value": 1.0, "at_least": NAN}, "at least nan"),
        ({"value": 1.0, "at_least": 0, "published": 3}, "needs its source"),
        ({"name": " ", "value": 1.0, "at_least": 0}, "needs a name"),
    ],
)
def test_a_malformed_claim_is_refused_in_words(kwargs, what):
    with pytest.raises(ValueError, match=what):
        claim(**({"name": "x"} | kwargs))


def test_a_notebook_gets_text_html_and_the_facts_as_json(monkeypatch):
    published = []
    monkeypatch.setattr(evaluate, "display", published.append)
    claim("a < b & c", np.float32(2), at_least=1, published=3, source="x2020y", unit="<s>")
    claim("a < b & c", 2, at_least=1)
    claim("a b c 2", 2, at_least=1)
    bundles = [c._repr_mimebundle_() for c in published]
    assert bundles[0]["text/html"] == (
        '<span class="claim" id="claim-a-b-c">✓ a &lt; b &amp; c: 2 &lt;s&gt; '
        "(at least 1 &lt;s&gt;; published 3 &lt;s&gt;, x2020y)</span>"
    )
    facts = json.loads(json.dumps(bundles[0]["application/vnd.metarl.claim+json"]))
    assert facts == {
        "name": "a < b & c",
        "value": 2.0,
        "at_least": 1,
        "at_most": None,
        "published": 3,
        "source": "x2020y",
        "unit": "<s>",
        "anchor": "claim-a-b-c",
    }
    assert len({claimed.anchor for claimed in published}) == 3


def test_ipython_keeps_the_custom_json_of_a_claim():
    claimed = evaluate.Claim("x", 1.0, 0, None, None, None, "", "claim-x")
    bundle, _ = InteractiveShell.instance().display_formatter.format(claimed)
    InteractiveShell.clear_instance()
    assert set(bundle) == {"text/plain", "text/html", "application/vnd.metarl.claim+json"}
